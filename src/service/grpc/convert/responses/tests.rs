//! Tests of the parent module.

use super::*;
use crate::domain::Reason;

#[test]
fn each_reason_has_the_word_of_the_api() {
    for known in Reason::ALL {
        assert_eq!(reason(known).as_str_name(), format!("DECISION_REASON_{}", known.word()));
    }
    let reasons = (1..).map_while(|number| pb::DecisionReason::try_from(number).ok()).count();
    assert_eq!(reasons, Reason::ALL.len(), "the API has a reason that the domain has not");
}
