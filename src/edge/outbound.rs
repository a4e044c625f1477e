//! A client's request as nodes get it: its head for each try, and its body for as long as it is at hand.

use http::header::{CONNECTION, CONTENT_LENGTH, HOST, HeaderValue, TRANSFER_ENCODING, UPGRADE};
use http::uri::PathAndQuery;
use http::{HeaderMap, Method, Request, Uri, Version};

use super::nodes::Node;
use super::rule::Freedom;
use super::signing::Signing;
use crate::router::proxy::body::{ProxyBody, empty};
use crate::router::proxy::headers;
use crate::router::proxy::reply::Failure;
use crate::router::proxy::upload::{Progress, Upload};

/// A request that is to be forwarded.
pub(super) struct Outbound {
    pub(super) method: Method,
    pub(super) target: PathAndQuery,
    /// Those that travel on.
    pub(super) headers: HeaderMap,
    pub(super) upload: Upload,
    pub(super) progress: Progress,
    /// It asks for a WebSocket.
    pub(super) is_tunnel: bool,
    /// By its method.
    pub(super) is_repeatable: bool,
    /// It is one of gRPC.
    pub(super) is_grpc: bool,
}

impl Outbound {
    /// What may be done about it now.
    pub(super) fn freedom(&self) -> Freedom {
        let is_repeatable = self.is_repeatable && self.upload.is_replayable();
        Freedom { is_repeatable, is_whole: self.upload.is_whole() }
    }

    /// One try at `node`. The body is given away with it, unless it is kept.
    pub(super) fn request(
        &self,
        node: &Node,
        signing: Option<&Signing>,
    ) -> Result<Request<ProxyBody>, Failure> {
        let mut headers = self.headers.clone();
        headers.insert(HOST, node.host.clone());
        let target = if node.url.base.is_empty() {
            self.target.clone()
        } else {
            format!("{}{}", node.url.base, self.target).parse().map_err(Failure::bad_request)?
        };
        if let Some(signing) = signing {
            let ip = headers.get(headers::FORWARDED_FOR).and_then(|ip| ip.to_str().ok()).unwrap_or_default();
            let authority = &node.url.authority;
            let signature = signing.sign(&self.method, target.as_str(), &headers, authority, ip);
            let signature = signature.ok_or_else(|| {
                Failure::bad_request(
                    "x-mesh-service, x-mesh-version and x-mesh-worker must be given once, as plain text",
                )
            })?;
            headers.insert(headers::EDGE, signature);
        } else {
            // Nodes ignore it, and another edge knows by it where the request comes from.
            headers.insert(headers::EDGE, HeaderValue::from_static("unsigned"));
        }
        if self.is_tunnel {
            headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
            headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
        }
        let body = self.upload.body().unwrap_or_default();
        if body.is_some() && !headers.contains_key(CONTENT_LENGTH) {
            // hyper would leave out the body of a GET or HEAD whose length nobody knows.
            headers.insert(TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
        }
        let mut request = Request::new(body.unwrap_or_else(empty));
        *request.method_mut() = self.method.clone();
        *request.uri_mut() = Uri::from(target);
        *request.headers_mut() = headers;
        Ok(request)
    }

    /// One try as a stream of HTTP/2: its head, and its body.
    pub(super) fn stream_request(
        &self,
        node: &Node,
        signing: Option<&Signing>,
    ) -> Result<(Request<()>, ProxyBody), Failure> {
        let (mut head, body) = self.request(node, signing)?.into_parts();
        head.headers.remove(HOST);
        head.headers.remove(TRANSFER_ENCODING);
        let mut uri = node.url.origin.clone().into_parts();
        uri.path_and_query = head.uri.path_and_query().cloned();
        head.uri = Uri::from_parts(uri).map_err(Failure::bad_request)?;
        head.version = Version::HTTP_2;
        Ok((Request::from_parts(head, ()), body))
    }

    /// The service that it is for, as far as that can be told.
    pub(super) fn service(&self) -> Option<&str> {
        if let Some(named) = self.headers.get(headers::SERVICE) {
            return named.to_str().ok();
        }
        let rest = self.target.path().strip_prefix("/api/service/")?;
        rest.split('/').next()
    }
}
