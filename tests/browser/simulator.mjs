// The simulator's pages show the story, and nothing on them runs or is loaded from anywhere.

import { check, play } from './driver.mjs';

await play('simulator', async (stage) => {
    const page = await stage.person();
    for (const [name, url] of Object.entries(stage.input.pages)) {
        await page.goto(url);
        const text = await page.innerText('body');
        check(text.includes(stage.input.says[name]), `${url} does not say ${stage.input.says[name]}: ${text}`);
        await stage.look(page, `simulator-${name}`);
    }
});
