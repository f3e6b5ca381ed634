from .audit_folder import Audit as Audit
from .audit_folder import audit_folder as audit_folder
from .finding import Finding as Finding
