//! What a decision comes from: something that GitHub told of, or a request of the operator's.

use super::Trouble;
use crate::context::Context;
use crate::db::deliveries::{Delivery, NewDelivery};
use crate::db::{self, Tx};
use crate::model::Millis;

/// What a decision comes from.
#[derive(Clone, Copy)]
pub(super) enum Cause<'a> {
    /// A delivery that waits.
    Delivery(&'a Delivery),
    /// A request made on the bot's own machine. It is stored with its decision and never waits: whoever asked is there to ask again.
    ByHand(&'a NewDelivery),
}

impl Cause<'_> {
    /// The id under which it is stored.
    pub fn id(&self) -> &str {
        match self {
            Self::Delivery(delivery) => &delivery.id,
            Self::ByHand(request) => &request.id,
        }
    }

    /// When it came.
    pub fn received_at(&self) -> Millis {
        match self {
            Self::Delivery(delivery) => delivery.received_at,
            Self::ByHand(request) => request.received_at,
        }
    }

    /// Begins the transaction that writes what comes of it; with the number of the delivery that is handled in it.
    pub async fn begin(&self, context: &Context) -> Result<(Tx, i64), Trouble> {
        let mut tx = context.db.begin().await?;
        let seq = match self {
            Self::Delivery(delivery) => delivery.seq,
            Self::ByHand(request) => db::deliveries::insert_by_hand(&mut tx, request).await?,
        };
        Ok((tx, seq))
    }
}
