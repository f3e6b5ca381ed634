#!/bin/sh
# certificates.sh FOLDER NAME...: an authority in FOLDER, and for each host FOLDER/NAME with its certificate (node.pem), key
# (node.key), both in one (both.pem) and that of the authority (ca.pem). What is valid for 30 days more stays.
set -eu
umask 027
folder=$1
shift
mkdir -p "$folder"
cd "$folder"

if ! [ -f ca.pem ]; then
	openssl req -x509 -newkey rsa:3072 -noenc -sha256 -days 3650 -subj "/CN=bus-monai of $(hostname)" \
		-addext keyUsage=critical,keyCertSign -keyout authority.key -out ca.new 2>/dev/null
	chmod 600 authority.key
	mv ca.new ca.pem
fi

for name; do
	openssl x509 -checkend 2592000 -noout -in "$name/node.pem" >/dev/null 2>&1 && continue
	new=$(mktemp -d "$PWD/.XXXXXX")
	openssl req -newkey rsa:3072 -noenc -subj "/CN=$name" -keyout "$new/node.key" -out "$new/request" 2>/dev/null
	cat >"$new/extensions" <<-END
		basicConstraints = critical, CA:FALSE
		authorityKeyIdentifier = keyid
		extendedKeyUsage = serverAuth, clientAuth
		subjectAltName = DNS:$name, DNS:localhost, IP:127.0.0.1
	END
	openssl x509 -req -sha256 -days 398 -in "$new/request" -extfile "$new/extensions" -CA ca.pem -CAkey authority.key \
		-out "$new/node.pem" 2>/dev/null
	cat "$new/node.key" "$new/node.pem" >"$new/both.pem"
	cp ca.pem "$new"
	rm "$new/request" "$new/extensions"
	chmod 750 "$new"
	chmod 640 "$new"/*
	rm -rf "$name"
	mv "$new" "$name"
done
