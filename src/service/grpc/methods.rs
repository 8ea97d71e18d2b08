//! The methods that the data listener answers.

use prost::Message;
use prost_types::FileDescriptorSet;

use crate::proto::{
    FILE_DESCRIPTOR_SET, envoy::service::auth::v3::authorization_server, v1::entitlement_service_server,
};

/// The paths of the methods that are answered on the data side.
pub(in crate::service) fn methods() -> Vec<String> {
    const SERVICES: [&str; 2] = [entitlement_service_server::SERVICE_NAME, authorization_server::SERVICE_NAME];
    // They are made along with the code: unreadable ones would not have let it compile.
    let descriptors = FileDescriptorSet::decode(FILE_DESCRIPTOR_SET).unwrap_or_default();
    let services = descriptors.file.into_iter().flat_map(|file| {
        let package = file.package.unwrap_or_default();
        file.service.into_iter().map(move |service| (format!("{package}.{}", service.name()), service.method))
    });
    let ours = services.filter(|(name, _)| SERVICES.contains(&name.as_str()));
    ours.flat_map(|(name, methods)| methods.into_iter().map(move |method| format!("/{name}/{}", method.name())))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_methods_are_those_of_the_service() {
        let methods = methods();
        assert!(methods.contains(&"/entitlement.v1.EntitlementService/CheckModule".to_owned()), "{methods:?}");
        assert!(methods.len() >= 6, "{methods:?}");
    }
}
