//! What the router says about itself: the services on offer, and why a request went where it went.

use std::collections::BTreeMap;

use serde::Serialize;

use super::table::Table;
use crate::id::ServiceName;

/// The services on offer. Serializes to the JSON body of `GET /api/services`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ServicesSummary {
    /// By name.
    pub services: Vec<ServiceSummary>,
}

/// One service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ServiceSummary {
    /// Its name.
    pub name: ServiceName,
    /// Instances that pass their checks, on workers that take requests.
    pub healthy: usize,
    /// Instances on live workers.
    pub total: usize,
    /// How many of these are of which version.
    pub versions: BTreeMap<String, usize>,
}

impl ServicesSummary {
    pub(super) fn of(table: &Table) -> Self {
        let offered = table.fleets.iter().filter(|(_, fleet)| !fleet.endpoints.is_empty());
        let services = offered.map(|(name, fleet)| {
            let mut versions = BTreeMap::new();
            for endpoint in &fleet.endpoints {
                *versions.entry(endpoint.service.version.clone()).or_default() += 1;
            }
            ServiceSummary {
                name: name.clone(),
                healthy: fleet.healthy(),
                total: fleet.endpoints.len(),
                versions,
            }
        });
        Self { services: services.collect() }
    }
}
