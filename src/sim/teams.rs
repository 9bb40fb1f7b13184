//! Teams of organizations, by which an App may decide who somebody is.
//! <https://docs.github.com/en/rest/teams/members#get-team-membership-for-a-user>

use anyhow::Context as _;

use super::Sim;
use super::world::World;

/// How somebody is in a team, in GitHub's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Membership {
    /// One of the team.
    Active,
    /// Invited to the organization, and not there yet.
    Pending,
}

impl Membership {
    /// GitHub's word.
    pub fn state(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Pending => "pending",
        }
    }
}

/// Every function fails for an organization that the simulator does not have.
impl Sim {
    /// Puts people into a team of an organization; the team and the people are made if they are not there.
    ///
    /// # Errors
    /// See above.
    pub fn add_to_team(&self, organization: &str, team: &str, people: &[&str]) -> anyhow::Result<()> {
        self.change_team(organization, team, people, Some(Membership::Active))
    }

    /// Invites people to a team, who have not accepted yet.
    ///
    /// # Errors
    /// See above.
    pub fn invite_to_team(&self, organization: &str, team: &str, people: &[&str]) -> anyhow::Result<()> {
        self.change_team(organization, team, people, Some(Membership::Pending))
    }

    /// Takes people out of a team.
    ///
    /// # Errors
    /// See above.
    pub fn remove_from_team(&self, organization: &str, team: &str, people: &[&str]) -> anyhow::Result<()> {
        self.change_team(organization, team, people, None)
    }

    fn change_team(
        &self,
        organization: &str,
        team: &str,
        people: &[&str],
        membership: Option<Membership>,
    ) -> anyhow::Result<()> {
        let mut world = self.inner.world();
        let of =
            world.organization(organization).with_context(|| format!("there is no organization {organization}"))?;
        let people: Vec<i64> = people.iter().map(|login| world.add_account(login, "User")).collect();
        let members = world.teams.entry((of, team.to_ascii_lowercase())).or_default();
        for person in people {
            match membership {
                Some(membership) => members.insert(person, membership),
                None => members.remove(&person),
            };
        }
        Ok(())
    }
}

impl World {
    /// The organization of that login.
    pub fn organization(&self, login: &str) -> Option<i64> {
        self.account_of(login).filter(|account| account.kind == "Organization").map(|account| account.id)
    }
}
