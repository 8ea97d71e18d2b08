"""The tables: those of the schema `public`, and those that each tenant has in a schema of its own."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID, uuid4

from sqlalchemy import DateTime, ForeignKey
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

PUBLIC = {"schema": "public"}


class Base(DeclarativeBase):
    type_annotation_map = {datetime: DateTime(timezone=True)}  # noqa: RUF012


class Plan(Base):
    __tablename__ = "plans"
    __table_args__ = PUBLIC
    id: Mapped[UUID] = mapped_column(primary_key=True)
    slug: Mapped[str]


class Tenant(Base):
    __tablename__ = "tenants"
    __table_args__ = PUBLIC
    id: Mapped[UUID] = mapped_column(primary_key=True)
    name: Mapped[str]
    subdomain: Mapped[str]
    database_schema: Mapped[str]
    status: Mapped[str]
    plan_id: Mapped[UUID | None] = mapped_column(ForeignKey(Plan.id))


class Module(Base):
    __tablename__ = "modules"
    __table_args__ = PUBLIC
    id: Mapped[UUID] = mapped_column(primary_key=True)
    code: Mapped[str]


class TenantSubscription(Base):
    __tablename__ = "tenant_subscriptions"
    __table_args__ = PUBLIC
    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
    tenant_id: Mapped[UUID] = mapped_column(ForeignKey(Tenant.id))
    module_id: Mapped[UUID] = mapped_column(ForeignKey(Module.id))
    status: Mapped[str]
    starts_at: Mapped[datetime]
    expires_at: Mapped[datetime | None]


class User(Base):
    __tablename__ = "users"
    id: Mapped[UUID] = mapped_column(primary_key=True)
    email: Mapped[str]
    password_hash: Mapped[str]


class Order(Base):
    __tablename__ = "orders"
    id: Mapped[int] = mapped_column(primary_key=True)
    customer: Mapped[str]


class Invoice(Base):
    __tablename__ = "invoices"
    number: Mapped[str] = mapped_column(primary_key=True)


class Employee(Base):
    __tablename__ = "employees"
    code: Mapped[str] = mapped_column(primary_key=True)
