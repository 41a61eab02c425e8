//! The routes, a module for each thing that is managed, and their description.
//!
//! Invariant: a route is made from its description (`utoipa-axum`), so that none can be without one.

mod accounts;
mod domains;
mod explain;
mod keys;
mod policies;
mod quotas;
mod tasks;
mod users;
mod webhooks;

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use catharsis_core::task::AccountId;
use catharsis_registry::Snapshot;
use http::StatusCode;
use serde_json::Value;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::{Modify, OpenApi};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::Admin;
use super::answer::{Told, json};
use super::error::{Code, Failure, Refusal};

/// What each handler works on.
type Shared = Arc<Desk>;

/// See [`Shared`].
struct Desk {
    admin: Admin,
    description: Value,
}

impl std::ops::Deref for Desk {
    type Target = Admin;

    fn deref(&self) -> &Admin {
        &self.admin
    }
}

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Catharsis admin API",
        version = "1",
        description = "Operators manage accounts, users, keys, policies, domains, quotas and webhooks, and see receipts. \
                       Every request needs the operator's credential. Fields that are not described are refused. Each answer has \
                       its id, under which the server's log tells of it, in `X-Request-Id`.",
        license(name = "Apache-2.0", identifier = "Apache-2.0"),
    ),
    servers((url = "/")),
    components(schemas(Failure)),
    modifiers(&Bearer),
    security(("operator" = [])),
)]
struct Description;

struct Bearer;

impl Modify for Bearer {
    fn modify(&self, description: &mut utoipa::openapi::OpenApi) {
        let scheme = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).description(Some("The operator's credential."));
        let components = description.components.get_or_insert_default();
        components.add_security_scheme("operator", SecurityScheme::Http(scheme.build()));
    }
}

/// All routes, without the door before them.
pub(super) fn router(admin: Admin) -> axum::Router {
    let (router, mut description) = OpenApiRouter::with_openapi(Description::openapi())
        .routes(routes!(described))
        .routes(routes!(accounts::list, accounts::create))
        .routes(routes!(accounts::show, accounts::change, accounts::delete))
        .routes(routes!(users::list, users::create))
        .routes(routes!(users::show, users::switch, users::delete))
        .routes(routes!(keys::list, keys::create))
        .routes(routes!(keys::switch, keys::delete))
        .routes(routes!(keys::create_token))
        .routes(routes!(policies::list))
        .routes(routes!(policies::show, policies::put, policies::delete))
        .routes(routes!(policies::attached))
        .routes(routes!(policies::attach, policies::detach))
        .routes(routes!(explain::explain))
        .routes(routes!(domains::list))
        .routes(routes!(domains::show, domains::change, domains::delete))
        .routes(routes!(domains::create))
        .routes(routes!(quotas::show, quotas::set, quotas::unset))
        .routes(routes!(webhooks::list, webhooks::create))
        .routes(routes!(webhooks::show, webhooks::delete))
        .routes(routes!(webhooks::failures))
        .routes(routes!(tasks::receipts))
        .routes(routes!(tasks::signed))
        .routes(routes!(tasks::key))
        .split_for_parts();
    complete(&mut description);
    let description = serde_json::to_value(description).unwrap_or_default();
    router
        .fallback(|| async { Refusal::new(Code::NotFound, "There is no such path: GET /openapi.json tells all.") })
        .method_not_allowed_fallback(|| async {
            Refusal::new(Code::MethodNotAllowed, "This path has no such method: GET /openapi.json tells all.")
        })
        .with_state(Arc::new(Desk { admin, description }))
}

/// Names each operation by its tag too, so that the names are unique, and says how each is refused.
fn complete(description: &mut utoipa::openapi::OpenApi) {
    use utoipa::openapi::{ContentBuilder, Ref, ResponseBuilder};
    let content = ContentBuilder::new().schema(Some(Ref::from_schema_name("Failure"))).build();
    let refusal = ResponseBuilder::new()
        .description("Refused: `Error.Code` says why for programs, `Error.Message` for people.")
        .content("application/json", content)
        .build();
    for item in description.paths.paths.values_mut() {
        let operations =
            [&mut item.get, &mut item.put, &mut item.post, &mut item.delete, &mut item.patch].into_iter().flatten();
        for operation in operations {
            let tag = operation.tags.iter().flatten().next();
            operation.operation_id = operation.operation_id.take().map(|id| match tag {
                Some(tag) => format!("{tag}_{id}"),
                None => id,
            });
            operation.responses.responses.insert("default".to_owned(), refusal.clone().into());
        }
    }
}

/// This description.
#[utoipa::path(get, path = "/openapi.json", responses((status = 200, description = "OpenAPI 3.1")))]
async fn described(State(desk): State<Shared>) -> Response {
    json(StatusCode::OK, &desk.description)
}

/// The answer of a question.
type Answer<T> = Result<Told<T>, Refusal>;

fn known_account(snapshot: &Snapshot, uin: u64) -> Result<AccountId, Refusal> {
    let account = AccountId(uin);
    match snapshot.accounts.contains_key(&account) {
        true => Ok(account),
        false => Err(Refusal::not_found("account", &uin)),
    }
}
