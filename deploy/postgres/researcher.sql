-- A role that can only read the store of quotes, trades and books (docs/ml.md). Run by the superuser with psql, and
-- safe to repeat. RESEARCHER_PASSWORD is read from the environment.
\set ON_ERROR_STOP on
\getenv password RESEARCHER_PASSWORD
\if :{?password}
\else
  \warn 'RESEARCHER_PASSWORD is not set: there is no password for the role researcher.'
  SELECT 1 / 0 AS "RESEARCHER_PASSWORD is not set";
\endif

SELECT 'CREATE ROLE researcher' WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'researcher') \gexec
ALTER ROLE researcher LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS PASSWORD :'password';
-- The rights below are what holds; this says so before a statement fails. A query that nobody waits for ends.
ALTER ROLE researcher SET default_transaction_read_only = on;
ALTER ROLE researcher SET statement_timeout = '10min';
ALTER ROLE researcher CONNECTION LIMIT 20;

GRANT CONNECT ON DATABASE :"DBNAME" TO researcher;
GRANT USAGE ON SCHEMA marketdata TO researcher;
GRANT SELECT ON ALL TABLES IN SCHEMA marketdata TO researcher;
-- Tables that the schema's owner, the desk, makes later; new partitions are read by their table's right anyway.
SELECT format('ALTER DEFAULT PRIVILEGES FOR ROLE %I IN SCHEMA marketdata GRANT SELECT ON TABLES TO researcher',
              pg_get_userbyid(nspowner)) FROM pg_namespace WHERE nspname = 'marketdata' \gexec
