"""A Django site with Django OAuth Toolkit, set up by the guide whose path is its argument.

It prints its issuer, then reads the address of the service from its input, and ends when that input does.
"""

import os
import re
import sys
import tempfile
import threading
import types
from socketserver import ThreadingMixIn
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

import django
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from django.conf import settings

with open(sys.argv[1], encoding="utf-8") as guide:
    in_settings, in_validators = re.findall(r"```python\n(.*?)```", guide.read(), re.DOTALL)

key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
os.environ["OIDC_RSA_PRIVATE_KEY"] = key.private_bytes(
    serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
).decode()
of_the_guide = {"os": os}
exec(in_settings, of_the_guide)

folder = tempfile.TemporaryDirectory()
form = "<form method='post'>{% csrf_token %}{{ form }}<button>Log in</button></form>"
settings.configure(
    ALLOWED_HOSTS=["*"],
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": os.path.join(folder.name, "db")}},
    DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
    INSTALLED_APPS=[
        "django.contrib.auth",
        "django.contrib.contenttypes",
        "django.contrib.sessions",
        "oauth2_provider",
    ],
    LOGGING_CONFIG=None,
    LOGIN_URL="/login/",
    MIDDLEWARE=[
        "django.contrib.sessions.middleware.SessionMiddleware",
        "django.middleware.csrf.CsrfViewMiddleware",
        "django.contrib.auth.middleware.AuthenticationMiddleware",
    ],
    OAUTH2_PROVIDER=of_the_guide["OAUTH2_PROVIDER"],
    # Passwords of a test need no slow hash.
    PASSWORD_HASHERS=["django.contrib.auth.hashers.MD5PasswordHasher"],
    ROOT_URLCONF="urls",
    SECRET_KEY="a key for tests",
    TEMPLATES=[
        {
            "BACKEND": "django.template.backends.django.DjangoTemplates",
            "OPTIONS": {
                "loaders": [
                    ("django.template.loaders.locmem.Loader", {"registration/login.html": form}),
                    "django.template.loaders.app_directories.Loader",
                ]
            },
        }
    ],
    USE_TZ=True,
)
django.setup()

people = types.ModuleType("people")
validators = people.validators = types.ModuleType("people.validators")
sys.modules |= {"people": people, "people.validators": validators}
exec(in_validators, vars(validators))

from django.contrib.auth.models import Group, User  # noqa: E402
from django.contrib.auth.views import LoginView  # noqa: E402
from django.core.management import call_command  # noqa: E402
from django.core.wsgi import get_wsgi_application  # noqa: E402
from django.urls import include, path  # noqa: E402
from oauth2_provider.models import Application  # noqa: E402

urls = sys.modules["urls"] = types.ModuleType("urls")
urls.urlpatterns = [path("login/", LoginView.as_view()), path("o/", include("oauth2_provider.urls"))]

call_command("migrate", verbosity=0)
for name, first, last, groups in [("erin", "Erin", "Editor", ["editors", "admins"]), ("jane", "Jane", "Doe", [])]:
    user = User.objects.create_user(name, f"{name}@example.com", "Passw0rd!", first_name=first, last_name=last)
    user.groups.set([Group.objects.create(name=group) for group in groups])


class Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True


class Quiet(WSGIRequestHandler):
    def log_message(self, *_):
        pass


server = make_server("127.0.0.1", 0, get_wsgi_application(), Server, Quiet)
print(f"http://127.0.0.1:{server.server_port}/o", flush=True)
threading.Thread(target=server.serve_forever, daemon=True).start()

if origin := sys.stdin.readline().strip():
    Application.objects.create(
        client_id="auth-api",
        client_secret="secret-of-auth-api",
        client_type=Application.CLIENT_CONFIDENTIAL,
        authorization_grant_type=Application.GRANT_AUTHORIZATION_CODE,
        algorithm=Application.RS256_ALGORITHM,
        redirect_uris=f"{origin}/auth/signin/callback",
        post_logout_redirect_uris=f"{origin}/auth/signout/callback",
        skip_authorization=True,
    )
    Application.objects.create(
        client_id="reports",
        client_secret="secret-of-reports",
        client_type=Application.CLIENT_CONFIDENTIAL,
        authorization_grant_type=Application.GRANT_CLIENT_CREDENTIALS,
    )
    print("ready", flush=True)
    sys.stdin.read()
