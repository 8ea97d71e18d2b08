"""Settings, from the environment."""

from __future__ import annotations

import os


class Settings:
    PROJECT_NAME = "ERP"
    DATABASE_URL = os.environ["DATABASE_URL"].replace("postgresql://", "postgresql+psycopg://")
    SECRET_KEY = os.environ["SECRET_KEY"]
    ALGORITHM = "HS256"
    CORS_ORIGINS = ("https://app.erp.example",)


settings = Settings()
