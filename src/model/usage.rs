//! What a run consumed, in the units that agents report.

use serde::{Deserialize, Serialize};

/// Tokens and money of one run; a missing cost means that the agent does not say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Usage {
    /// Tokens read, cached ones included.
    pub input_tokens: u64,
    /// Of those, tokens that came from the provider's cache.
    pub cached_tokens: u64,
    /// Tokens written.
    pub output_tokens: u64,
    /// US dollars by the agent's own price list.
    pub cost_usd: Option<f64>,
}

impl Usage {
    /// The cost in millionths of a US dollar, which add up without rounding. What an agent says may be any number.
    pub fn cost_micro(&self) -> Option<i64> {
        // A conversion of a float stops at the ends of the type.
        self.cost_usd.map(|usd| (usd * 1e6).round().max(0.0) as i64)
    }

    /// Both together.
    pub fn plus(&self, other: &Self) -> Self {
        let cost_usd = match (self.cost_usd, other.cost_usd) {
            (None, None) => None,
            (one, other) => Some(one.unwrap_or(0.0) + other.unwrap_or(0.0)),
        };
        Self {
            input_tokens: self.input_tokens + other.input_tokens,
            cached_tokens: self.cached_tokens + other.cached_tokens,
            output_tokens: self.output_tokens + other.output_tokens,
            cost_usd,
        }
    }
}
