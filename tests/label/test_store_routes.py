"""Images and labels of the store, as real clients ask for them: MONAI Label's own, 3D Slicer, a browser."""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import requests
from PIL import Image

from tests.label.conftest import MODEL, Server, png_of
from tests.waiting import PATIENCE_S

pytestmark = pytest.mark.usefixtures("label_python", "nothing_is_left")
IMAGE = "phantom_0002"


def test_the_page_is_given_the_token_by_its_address(server: Server) -> None:
    with requests.Session() as session:
        assert session.get(server.page, timeout=PATIENCE_S).headers["content-type"].startswith("text/html")
        assert session.get(f"{server.url}/bus/images", timeout=PATIENCE_S).status_code == 200
        (cookie,) = session.cookies
        assert (cookie.value, cookie.get_nonstandard_attr("SameSite")) == (server.token, "Strict")
        assert cookie.has_nonstandard_attr("HttpOnly")


def test_the_address_for_clients_leads_a_browser_to_the_page(server: Server) -> None:
    with requests.Session() as session:
        answer = session.get(f"{server.url}/token/{server.token}", timeout=PATIENCE_S)
        assert (answer.status_code, answer.url) == (200, f"{server.url}/bus/")


def test_calls_of_monai_label_s_client(server: Server, tmp_path: Path) -> None:
    from monailabel.client.client import MONAILabelClient, MONAILabelClientException

    stranger = MONAILabelClient(server.url, str(tmp_path))
    assert stranger.auth_enabled()
    assert not stranger.auth_valid_token()
    with pytest.raises(MONAILabelClientException) as caught:
        stranger.info()
    assert caught.value.status_code == 401
    with pytest.raises(MONAILabelClientException) as caught:
        stranger.auth_token("annotator", "guess")
    assert caught.value.status_code == 401

    client = server.client()
    assert client.auth_valid_token()
    _calls_of_a_client(client, server, tmp_path)


def test_calls_of_a_client_that_knows_nothing_but_an_address(server: Server, tmp_path: Path) -> None:
    from monailabel.client.client import MONAILabelClient

    client = MONAILabelClient(f"{server.url}/token/{server.token}", str(tmp_path))
    assert not client.auth_enabled()
    _calls_of_a_client(client, server, tmp_path)


def _calls_of_a_client(client: Any, server: Server, folder: Path) -> None:
    from monailabel.client.client import MONAILabelClientException

    assert MODEL in client.info()["models"]
    (folder / "new.png").write_bytes((Path(server.studies) / "phantom_0003.png").read_bytes())
    assert client.upload_image(str(folder / "new.png"), "new") == {"image": "new"}
    chosen = client.next_sample("first", {})
    assert Path(chosen["path"]).is_file()
    found, params = client.infer(MODEL, "new", {"threshold": 0.4})
    assert params["model_version"] == 0
    again, _ = client.infer(MODEL, "", {"threshold": 0.4}, file=str(folder / "new.png"))
    assert Path(found).read_bytes() == Path(again).read_bytes()
    clicked, _ = client.infer(f"{MODEL}_clicks", "new", {"label": "lesion 1", "foreground": [[30, 30, 0]]})
    assert (
        client.save_label("new", clicked, "final", {"label_info": [{"name": "lesion 1", "idx": 1}]})["image"] == "new"
    )
    assert Path(client.download_label("new", "final")).read_bytes() == Path(clicked).read_bytes()
    assert client.datastore()["objects"]["new"]["labels"]["final"]["info"]["label_info"][0]["idx"] == 1
    assert not client.train_status(check_if_running=True)
    assert client.train_stop() is None
    with pytest.raises(MONAILabelClientException) as caught:
        client.create_session(str(folder / "new.png"))
    assert caught.value.status_code == 406
    assert server.ask("DELETE", "/datastore/?id=new").status_code == 200


def test_calls_of_3d_slicer(server: Server, tmp_path: Path) -> None:
    """As its extension asks: it wants NRRD, saves NIfTI, and downloads images by nothing but their address."""
    import SimpleITK
    from monailabel.client.client import MONAILabelClient

    address = f"{server.url}/token/{server.token}"
    client = MONAILabelClient(address, str(tmp_path), "user-xyz")
    image = requests.get(f"{address}/datastore/image?image={IMAGE}", timeout=PATIENCE_S)
    assert image.content == (Path(server.studies) / f"{IMAGE}.png").read_bytes()
    slicer = {"result_extension": ".nrrd", "result_dtype": "uint8", "threshold": 0.45, "min_area": 4}
    found, params = client.infer(MODEL, IMAGE, slicer)
    labels, shown = SimpleITK.ReadImage(found), SimpleITK.ReadImage(str(Path(server.studies) / f"{IMAGE}.png"))
    assert labels.GetSize() == (*shown.GetSize(), 1)
    assert (labels.GetSpacing()[:2], labels.GetOrigin()[:2]) == (shown.GetSpacing(), shown.GetOrigin())
    assert labels.GetDirection() == (1, 0, 0, 0, 1, 0, 0, 0, 1)
    usual, _ = client.infer(MODEL, IMAGE, {"threshold": 0.45, "min_area": 4})
    np.testing.assert_array_equal(SimpleITK.GetArrayFromImage(labels)[0], np.asarray(Image.open(usual)))
    assert SimpleITK.GetArrayFromImage(labels).max() == len(params["label_names"]) > 0

    SimpleITK.WriteImage(labels, str(tmp_path / "label.nii.gz"))
    client.save_label(IMAGE, str(tmp_path / "label.nii.gz"), "final", {})
    record = client.datastore()["objects"][IMAGE]["labels"]["final"]["info"]
    assert (record["origin"], record["model"], record["model_version"]) == ("accepted", MODEL, 0)
    kept = nib.load(client.download_label(IMAGE, "final"))
    np.testing.assert_array_equal(np.asarray(kept.dataobj)[..., 0].T, np.asarray(Image.open(usual)))

    edited = np.asarray(Image.open(usual)).copy()
    edited[0, 0] = 1 - edited[0, 0]
    Image.fromarray(edited).save(tmp_path / "label.png")
    client.save_label(IMAGE, str(tmp_path / "label.png"), "final", {})
    record = client.datastore()["objects"][IMAGE]["labels"]["final"]["info"]
    assert (record["origin"], record["annotator"]) == ("external client", "user-xyz")
    assert "model" not in record


def test_the_archive_holds_images_labels_and_what_is_kept(server: Server) -> None:
    assert server.ask("GET", "/datastore/dataset?limit_cases=-5").status_code in (200, 404)
    server.ask("PUT", f"/datastore/label?image={IMAGE}", files={"label": ("a.png", png_of())}).raise_for_status()
    content = server.ask("GET", "/datastore/dataset?limit_cases=100").content
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        assert archive.read(f"image/{IMAGE}.png") == (Path(server.studies) / f"{IMAGE}.png").read_bytes()
        assert archive.read(f"label/{IMAGE}.png") == png_of()
        assert IMAGE in json.loads(archive.read("metadata.json"))["objects"]


def test_images_and_labels_are_told_by_their_content(server: Server) -> None:
    path, store = Path(server.studies) / f"{IMAGE}.png", "/datastore/image"
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    heads: list[tuple[str, int]] = [
        (f"?image={IMAGE}", 200),
        (f"?image={IMAGE}&check_sum=SHA256:{digest}", 200),
        (f"?image={IMAGE}&check_sum={digest}", 200),
        (f"?image={IMAGE}&check_sum=MD5:{digest}", 404),
        (f"?image={IMAGE}&check_sum=CRC:{digest}", 400),
        ("?image=none", 404),
    ]
    assert [server.ask("HEAD", store + query).status_code for query, _ in heads] == [status for _, status in heads]
    info = server.ask("PUT", f"{store}/info?image={IMAGE}", data={"info": '{"quality": "good"}'})
    assert info.status_code == 200
    assert server.ask("GET", f"{store}/info?image={IMAGE}").json()["quality"] == "good"
