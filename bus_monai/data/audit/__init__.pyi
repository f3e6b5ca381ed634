from .audit_folder import Audit as Audit
from .audit_folder import audit_folder as audit_folder
from .listing import Finding as Finding
