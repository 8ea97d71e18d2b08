-- What is in the ERP's database: the tables of the schema public are entitlementd's as well.
INSERT INTO tenants (id, name, subdomain, database_schema, status, plan_id)
SELECT ('00000000-0000-4000-8000-00000000000' || digit)::uuid, initcap(subdomain), subdomain, 'tenant_' || subdomain, status,
    (SELECT id FROM plans WHERE slug = plan)
FROM (VALUES
    ('a', 'acme', 'active', 'starter'),
    ('b', 'beta', 'active', NULL),
    ('c', 'waiting', 'pending', NULL),
    ('d', 'fresh', 'pending_setup', NULL),
    ('e', 'asleep', 'suspended', NULL),
    ('f', 'gone', 'cancelled', NULL)
) AS of_ours (digit, subdomain, status, plan);

INSERT INTO tenant_subscriptions (tenant_id, module_id, status, starts_at, expires_at, is_trial, trial_ends_at)
SELECT tenants.id, modules.id, sold.status, starts_at::timestamptz, expires_at::timestamptz, ends IS NOT NULL, ends::timestamptz
FROM (VALUES
    ('acme', 'oms_fulfillment', 'active', '2025-01-01', NULL, NULL),
    ('acme', 'finance', 'active', '2025-01-01', '2099-01-01', NULL),
    ('acme', 'system_admin', 'active', '2025-01-01', NULL, NULL),
    ('acme', 'd2c_storefront', 'active', '2025-01-01', NULL, NULL),
    ('acme', 'procurement', 'cancelled', '2025-01-01', '2025-07-01', NULL),
    ('acme', 'marketing', 'active', '2025-01-01', '2025-07-01', NULL),
    ('acme', 'crm_service', 'active', '2099-01-01', NULL, NULL),
    ('acme', 'scm_ai', 'active', '2025-01-01', NULL, '2025-02-01'),
    ('acme', 'sales_distribution', 'Active', '2025-01-01', NULL, NULL),
    ('beta', 'hrms', 'active', '2025-01-01', NULL, NULL),
    ('waiting', 'oms_fulfillment', 'active', '2025-01-01', NULL, NULL)
) AS sold (subdomain, code, status, starts_at, expires_at, ends)
JOIN tenants USING (subdomain)
JOIN modules USING (code);

CREATE SCHEMA tenant_acme;
CREATE TABLE tenant_acme.users (id uuid PRIMARY KEY, email text NOT NULL, password_hash text NOT NULL);
CREATE TABLE tenant_acme.orders (id serial PRIMARY KEY, customer text NOT NULL);
CREATE TABLE tenant_acme.invoices (number text PRIMARY KEY);
CREATE TABLE tenant_acme.employees (code text PRIMARY KEY);
CREATE SCHEMA tenant_beta;
CREATE TABLE tenant_beta.users (LIKE tenant_acme.users);
CREATE TABLE tenant_beta.employees (LIKE tenant_acme.employees);
CREATE SCHEMA tenant_waiting;
CREATE TABLE tenant_waiting.orders (LIKE tenant_acme.orders);
-- The password is "Fans-and-7-mixers".
INSERT INTO tenant_acme.users VALUES ('00000000-0000-4000-8000-0000000000a1', 'ada@acme.example',
    'acme$cc412c8ec1dfc40afa1244478d549180253cd438d40c5a686577bb5177a356d71803638eac503b40c7a936d36ecf6a43ba2e8534ec625822ba3ce9ffd05ada38');
INSERT INTO tenant_beta.users VALUES ('00000000-0000-4000-8000-0000000000b1', 'bob@beta.example', '');
INSERT INTO tenant_acme.orders (customer) VALUES ('Corner Shop');
INSERT INTO tenant_acme.invoices VALUES ('INV-7');
INSERT INTO tenant_beta.employees VALUES ('EMP001');
