//! What requests count.

use prost::Message;
use prost_types::FileDescriptorSet;

use super::{Api, asker::NotAdmitted, check::Judgement, gateway::Ruling, grpc::convert};
use crate::{
    domain::Reason,
    observability::metrics::Metrics,
    proto::{FILE_DESCRIPTOR_SET, envoy::service::auth::v3::authorization_server, v1::entitlement_service_server},
};

/// A place for everything that requests count: all methods of the service, and all reasons.
pub fn metrics() -> Metrics {
    let reasons = Reason::ALL.map(convert::reason_word).to_vec();
    Metrics::new(methods(), reasons, Ruling::VERDICTS.to_vec(), NotAdmitted::WORDS.to_vec())
}

/// The paths of the methods that are answered on the data side.
fn methods() -> Vec<String> {
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

impl Api {
    /// Counts a decision that is given to a caller.
    pub(super) fn given<'a>(&self, judgement: Judgement<'a>) -> Judgement<'a> {
        self.metrics.decisions.add(judgement.decision.reason as usize);
        judgement
    }
}

#[cfg(test)]
mod tests {
    use crate::service::counted::*;

    #[test]
    fn each_reason_stands_at_its_number() {
        for (number, reason) in Reason::ALL.into_iter().enumerate() {
            assert_eq!(reason as usize, number, "{reason:?}");
        }
    }

    #[test]
    fn the_methods_are_those_of_the_service() {
        let methods = methods();
        assert!(methods.contains(&"/entitlement.v1.EntitlementService/CheckModule".to_owned()), "{methods:?}");
        assert!(methods.len() >= 6, "{methods:?}");
    }
}
