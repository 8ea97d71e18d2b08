//! What requests count.

use prost::Message;
use prost_types::FileDescriptorSet;

use super::{Api, check::Judgement, convert};
use crate::{
    domain::Reason,
    metrics::Metrics,
    proto::{FILE_DESCRIPTOR_SET, v1::entitlement_service_server::SERVICE_NAME},
};

/// A place for everything that requests count: all methods of the service, and all reasons.
pub fn metrics() -> Metrics {
    Metrics::new(methods(), Reason::ALL.map(convert::reason_word).to_vec())
}

/// The paths of the service's methods.
fn methods() -> Vec<String> {
    // They are made along with the code: unreadable ones would not have let it compile.
    let descriptors = FileDescriptorSet::decode(FILE_DESCRIPTOR_SET).unwrap_or_default();
    let service = descriptors.file.into_iter().flat_map(|file| {
        let package = file.package.unwrap_or_default();
        file.service.into_iter().map(move |service| (format!("{package}.{}", service.name()), service.method))
    });
    let ours = service.filter(|(name, _)| name == SERVICE_NAME).flat_map(|(_, methods)| methods);
    ours.map(|method| format!("/{SERVICE_NAME}/{}", method.name())).collect()
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
    use super::*;

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
