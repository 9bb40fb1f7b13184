//! A person labels an issue, and the bot answers with a pull request.

use crate::harness::{REPO, World};

// B01, B12, B26
#[tokio::test]
async fn a_labelled_issue_becomes_a_pull_request() {
    let world = World::new().await;
    let issue = world.issue("Say hello", "Please add hello.txt.").await;
    world.label(issue, "track").await;
    world.settle().await;

    insta::assert_snapshot!(world.only_comment(issue), @r"
    ✅ **Done**: #2 at [`SHA`](https://github.test/octo/hello/commit/SHA).

    Said hello.

    | Agent | Runner | Took | Changes |
    | --- | --- | --- | --- |
    | `scripted` | `local-1` | TIME | 1 commit, 1 file (+1 −0) |

    <sub>run `RUN` · asked by mona · branch `track/issue-1-LINE`</sub>
    ");
    let pulls = world.sim.pulls(REPO);
    assert_eq!(pulls.len(), 1);
    insta::assert_snapshot!(world.readable(&pulls[0].body), @r"
    Said hello.

    Closes #1.

    <sub>run `RUN` by `scripted` · asked by mona in #1</sub>
    ");
    insta::assert_snapshot!(world.only_comment(pulls[0].number), @"@mona `scripted` pushed `SHA` for #1. Please have a look; a review that comments or requests changes makes me follow up, and so does `/track followup <text>`.");
    assert!(world.labels(issue).is_empty(), "the label is taken off when it is obeyed");
    assert_eq!(world.reactions(issue), ["eyes", "rocket"]);
}
