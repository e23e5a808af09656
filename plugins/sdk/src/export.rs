//! [`export!`](crate::export): from task types to a component.

use std::future::Future;

use crate::bindings::buddy::plugin::types;
use crate::bindings::exports::buddy::plugin::task as raw;
use crate::failure::Failure;
use crate::task::{self, Demand, TaskType};

pub use raw::{CapabilityRequest, Limits, Manifest};

/// What [`export!`](crate::export) builds: a whole plugin, callable without a host too, which is how tests call it.
pub trait Plugin {
    /// Who this plugin is.
    fn describe() -> Manifest;

    /// Checks the input of a task and says what it will need. JSON in.
    fn estimate(task_type: &str, input: &str) -> Result<Demand, Failure>;

    /// Does a task. JSON in, JSON out.
    fn run(task_type: &str, input: &str) -> impl Future<Output = Result<String, Failure>>;
}

impl<P: Plugin> raw::Guest for P {
    fn describe() -> Manifest {
        P::describe()
    }

    fn estimate(task_type: String, input: String) -> Result<raw::Demand, types::Failure> {
        P::estimate(&task_type, &input).map(Into::into).map_err(Into::into)
    }

    async fn run(task_type: String, input: String) -> Result<String, types::Failure> {
        P::run(&task_type, &input).await.map_err(Into::into)
    }
}

/// Makes the crate a plugin: an exported component when built for `wasm32-wasip2`, and everywhere a public type
/// `BuddyPlugin` that implements [`Plugin`] for tests.
///
/// ```
/// # use buddy_plugin::prelude::*;
/// # struct Echo;
/// # impl TaskType for Echo {
/// #     const NAME: &'static str = "echo";
/// #     const SUMMARY: &'static str = "Answers its input.";
/// #     type Input = String;
/// #     type Output = String;
/// #     fn example() -> Value { json!("hello") }
/// #     async fn run(input: String) -> Result<String, Failure> { Ok(input) }
/// # }
/// buddy_plugin::export! {
///     summary: "Answers what it is given.",
///     tasks: [Echo],
///     capabilities: [
///         browser("example.com", "*.example.org") because "it opens the pages that the task names",
///         checkpoint because "a restarted run goes on where it was",
///     ],
///     limits: { memory_mib: 256, pages: 10 },
/// }
/// # fn main() {
/// let manifest = BuddyPlugin::describe();
/// assert_eq!(manifest.capabilities[0].scope, ["example.com", "*.example.org"]);
/// assert_eq!(manifest.limits.memory_mib, Some(256));
/// # }
/// ```
///
/// A capability that does not exist is caught by the compiler:
///
/// ```compile_fail
/// # use buddy_plugin::prelude::*;
/// # struct Echo;
/// # impl TaskType for Echo {
/// #     const NAME: &'static str = "echo";
/// #     const SUMMARY: &'static str = "Answers its input.";
/// #     type Input = String;
/// #     type Output = String;
/// #     fn example() -> Value { json!("hello") }
/// #     async fn run(input: String) -> Result<String, Failure> { Ok(input) }
/// # }
/// buddy_plugin::export! { summary: "", tasks: [Echo], capabilities: [brwser because "a slip"] }
/// # fn main() {}
/// ```
///
/// - `name: "…"` in front gives another name than the package's; the version is always the package's.
/// - `capabilities` is what the owner reads before granting; a name that no interface has does not compile. What is
///   imported but not asked for will be denied.
/// - `limits` are wishes: `memory_mib`, `cpu_ms`, `wall_ms`, `pages`.
#[macro_export]
macro_rules! export {
    (
        $(name: $name:expr,)?
        summary: $summary:expr,
        tasks: [$($task:ty),+ $(,)?]
        $(, capabilities: [$($capability:ident $(($($scope:expr),* $(,)?))? because $reason:expr),* $(,)?])?
        $(, limits: { $($limit:ident : $value:expr),* $(,)? })?
        $(,)?
    ) => {
        /// This crate as a plugin.
        #[derive(Debug)]
        pub struct BuddyPlugin;

        $($(const _: () = assert!(
            $crate::__private::is_capability(stringify!($capability)),
            "no capability has this name",
        );)*)?

        impl $crate::Plugin for BuddyPlugin {
            fn describe() -> $crate::Manifest {
                #[allow(unused_mut)]
                let mut limits = $crate::__private::no_limits();
                $($(limits.$limit = ::core::option::Option::Some($value);)*)?
                #[allow(unused_mut)]
                let mut name = env!("CARGO_PKG_NAME");
                $(name = $name;)?
                $crate::__private::manifest(
                    name,
                    env!("CARGO_PKG_VERSION"),
                    $summary,
                    ::std::vec![$($crate::__private::describe::<$task>()),+],
                    ::std::vec![$($($crate::__private::capability(
                        stringify!($capability),
                        &[$($($scope),*)?],
                        $reason,
                    )),*)?],
                    limits,
                )
            }

            fn estimate(
                task_type: &str,
                input: &str,
            ) -> ::core::result::Result<$crate::Demand, $crate::Failure> {
                $(if task_type == <$task as $crate::TaskType>::NAME {
                    return $crate::__private::estimate::<$task>(input);
                })+
                ::core::result::Result::Err($crate::__private::unknown(
                    task_type,
                    &[$(<$task as $crate::TaskType>::NAME),+],
                ))
            }

            async fn run(
                task_type: &str,
                input: &str,
            ) -> ::core::result::Result<::std::string::String, $crate::Failure> {
                $(if task_type == <$task as $crate::TaskType>::NAME {
                    return $crate::__private::run::<$task>(input).await;
                })+
                ::core::result::Result::Err($crate::__private::unknown(
                    task_type,
                    &[$(<$task as $crate::TaskType>::NAME),+],
                ))
            }
        }

        #[cfg(target_arch = "wasm32")]
        $crate::bindings::export_component!(BuddyPlugin with_types_in $crate::bindings);
    };
}

/// What the macro's expansion calls; not for use by hand.
#[doc(hidden)]
pub mod __private {
    use super::{CapabilityRequest, Demand, Failure, Limits, Manifest, TaskType, raw, task};

    /// The capabilities of this version of the contract.
    const CAPABILITIES: [&str; 9] =
        ["browser", "http", "files", "store", "checkpoint", "artifacts", "firestore", "human", "secrets"];

    #[must_use]
    pub const fn is_capability(name: &str) -> bool {
        let mut i = 0;
        while i < CAPABILITIES.len() {
            if same(name.as_bytes(), CAPABILITIES[i].as_bytes()) {
                return true;
            }
            i += 1;
        }
        false
    }

    const fn same(a: &[u8], b: &[u8]) -> bool {
        if a.len() != b.len() {
            return false;
        }
        let mut i = 0;
        while i < a.len() {
            if a[i] != b[i] {
                return false;
            }
            i += 1;
        }
        true
    }

    #[must_use]
    pub fn no_limits() -> Limits {
        Limits { memory_mib: None, cpu_ms: None, wall_ms: None, pages: None, more: Vec::new() }
    }

    pub fn manifest(
        name: &str,
        version: &str,
        summary: &str,
        task_types: Vec<raw::TaskType>,
        capabilities: Vec<CapabilityRequest>,
        limits: Limits,
    ) -> Manifest {
        Manifest {
            name: name.to_owned(),
            version: version.to_owned(),
            summary: summary.to_owned(),
            task_types,
            capabilities,
            limits,
            more: Vec::new(),
        }
    }

    pub fn capability(name: &str, scope: &[&str], reason: &str) -> CapabilityRequest {
        CapabilityRequest {
            capability: name.to_owned(),
            scope: scope.iter().map(|&part| part.to_owned()).collect(),
            reason: reason.to_owned(),
        }
    }

    pub fn unknown(task_type: &str, known: &[&str]) -> Failure {
        Failure::permanent(format!("this plugin has no task type `{task_type}`; it has `{}`", known.join("`, `")))
    }

    #[must_use]
    pub fn describe<T: TaskType>() -> raw::TaskType {
        task::describe::<T>()
    }

    pub fn estimate<T: TaskType>(input: &str) -> Result<Demand, Failure> {
        task::estimate::<T>(input)
    }

    pub async fn run<T: TaskType>(input: &str) -> Result<String, Failure> {
        task::run::<T>(input).await
    }
}
