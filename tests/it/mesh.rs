//! A real Envoy with the shipped configuration, in front of a real service, with the real server to ask.

mod envoy;
mod outage;
mod routes_command;
