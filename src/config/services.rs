//! The services and routes of a node, gathered from every place that may name them.

use std::collections::BTreeMap;

use super::args::{Environment, variable};
use super::error::{ConfigError, Origin};
use super::file::ConfigFile;
use super::layers::Found;
use super::parse;
use super::service::ServiceConfig;
use crate::id::ServiceName;
use crate::manifest::{Protocol, Route};

const MAX_SERVICES: usize = 256;
const NAME_URL: &str = "NAME=URL, for example rag=http://127.0.0.1:8102";

/// All services by name. A stronger place changes the URL of a service that a weaker one describes, or adds one.
pub(super) fn services(
    flags: &[String],
    list: &[String],
    environment: &Environment,
    file: Option<&ConfigFile>,
) -> Result<Vec<ServiceConfig>, ConfigError> {
    let mut services = Services::new();
    for table in file.iter().flat_map(|file| file.settings.services.iter().map(move |table| (file, table))) {
        let (file, table) = table;
        let at = file.origin("service", &table.span());
        insert(&mut services, table.get_ref().resolve(&at)?, at)?;
    }
    let mut variables = Services::new();
    for (name, url) in environment.short_services() {
        let at = Origin::environment(variable(&format!("service-{name}")));
        let name = name.to_ascii_lowercase().replace('_', "-");
        insert(&mut variables, short(&name, url, &at)?, at)?;
    }
    let at = Origin::environment("MESHNODE_SERVICE");
    insert_pairs(&mut variables, list, &at)?;
    replace_urls(&mut services, variables, &Origin::environment("MESHNODE_SERVICE"))?;
    let mut named = Services::new();
    insert_pairs(&mut named, flags, &Origin::flag("service"))?;
    replace_urls(&mut services, named, &Origin::flag("service"))?;
    if services.len() > MAX_SERVICES {
        let found = Found { at: Origin::flag("service"), text: format!("{} services", services.len()) };
        return Err(found.refused("up to 256 services"));
    }
    Ok(services.into_values().collect())
}

/// All routes, ordered by service.
pub(super) fn routes(file: Option<&ConfigFile>) -> Result<Vec<Route>, ConfigError> {
    let mut routes = BTreeMap::new();
    for (file, table) in
        file.iter().flat_map(|file| file.settings.routes.iter().map(move |table| (file, table)))
    {
        let at = file.origin("route", &table.span());
        let route = table.get_ref().resolve(&at)?;
        let service = route.service.clone();
        if routes.insert(service.clone(), route).is_some() {
            return Err(ConfigError::DuplicateRoute { at: at.key("route.service"), service });
        }
    }
    Ok(routes.into_values().collect())
}

type Services = BTreeMap<ServiceName, ServiceConfig>;

fn insert_pairs(services: &mut Services, pairs: &[String], at: &Origin) -> Result<(), ConfigError> {
    for pair in pairs {
        let found = Found { at: at.clone(), text: pair.clone() };
        let (name, url) = pair.split_once('=').ok_or_else(|| found.refused(NAME_URL))?;
        insert(services, short(name, url, at)?, at.clone())?;
    }
    Ok(())
}

fn insert(services: &mut Services, service: ServiceConfig, at: Origin) -> Result<(), ConfigError> {
    let name = service.name.clone();
    match services.insert(name.clone(), service) {
        Some(_) => Err(ConfigError::DuplicateService { at, name }),
        None => Ok(()),
    }
}

/// The short form, whose messages name the flag or variable itself.
fn short(name: &str, url: &str, at: &Origin) -> Result<ServiceConfig, ConfigError> {
    let found = |text: &str| Found { at: at.clone(), text: text.to_owned() };
    let name =
        found(name).parse("NAME=URL with a name of 1 to 63 of a-z, 0-9 and '-'", |text| text.parse().ok())?;
    let url = found(url).parse(parse::SERVICE_URL, parse::base_url)?;
    Ok(ServiceConfig::new(name, url))
}

fn replace_urls(services: &mut Services, stronger: Services, at: &Origin) -> Result<(), ConfigError> {
    for (name, service) in stronger {
        let known = services.entry(name).or_insert_with(|| service.clone());
        if known.protocol == Protocol::H2c && service.url.scheme() == "https" {
            let found = Found { at: at.clone(), text: service.url.into() };
            return Err(found.refused("an http:// URL, as the file says that the service speaks h2c"));
        }
        known.url = service.url;
    }
    Ok(())
}
