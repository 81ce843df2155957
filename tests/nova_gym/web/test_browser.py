"""The page in headless Chromium: the dream of Python, its pictures, real keys, and nothing from any network."""

import json
import time

import numpy as np
import pytest
import torch

from nova_gym import DreamSimulator
from nova_gym.agents import load_agent, portable_policy
from nova_gym.benchmarks.browser import PAINTER, WITHOUT, chromium, missing, numbers
from nova_gym.data.loading import first_clips
from nova_gym.dream import Dream
from nova_gym.web import clips_level, level_of, write_page

pytestmark = pytest.mark.skipif(bool(missing()), reason=missing())

STEPS, SIDE, SMALL = 200, 512, 256
#: So small that the page itself takes little time to draw.
WINDOW = 700, 560
#: Actions from a start, the states and what else there was to see; a picture is drawn of some.
WALK = """
    const [start, actions] = arguments, s = nova.session;
    nova.driving = '';
    nova.begin(0, 1, start);
    const states = [s.now.state.data], others = [];
    for (const action of actions) {
        s.now.ended = false;
        const {state, reward, ended, belief} = s.act(action);
        states.push(state.data);
        others.push(reward, ended ? 1 : 0, belief.doubt);
    }
    nova.moved();
    return [...states, Float32Array.from(others)];"""
PICTURE = f"""
    {PAINTER}
    const {{gl}} = painter, pixels = new Uint8Array(4 * canvas.width * canvas.height);
    nova.session.history.slice(0, arguments[1] + 1).forEach((moment) => draw(moment.state));
    gl.readPixels(0, 0, canvas.width, canvas.height, gl.RGBA, gl.UNSIGNED_BYTE, pixels);
    return Float32Array.from(pixels);"""


@pytest.fixture(scope="module")
def video():
    return Dream.load("digits")


@pytest.fixture(scope="module")
def heard():
    """Two clips of 4 frames, which the control model hears before it goes on."""
    return first_clips("digits", 2, 4)


@pytest.fixture(scope="module")
def pages(tmp_path_factory, shipped, video, heard):
    """Pages of the dreams that ship, by name."""
    folder = tmp_path_factory.mktemp("pages")
    policy = portable_policy(load_agent("minigrid-ppo", shipped, "cpu"), shipped)
    write_page(folder / "minigrid.html", shipped, [level_of(shipped)], policy, "minigrid")
    write_page(folder / "digits.html", video, [clips_level(video, heard)], name="digits")
    return {path.stem: path.as_uri() for path in folder.iterdir()}


@pytest.fixture(scope="module")
def browser(pages):
    with chromium(*WINDOW) as driver:
        yield driver


@pytest.fixture(scope="module")
def walk(shipped):
    """A start, and actions that pay somewhere on the way from it; and what Python makes of them."""
    starts = shipped.starts["random"][:64]
    actions = torch.randint(3, (STEPS,), generator=torch.Generator().manual_seed(3)).tolist()
    simulator = DreamSimulator(shipped, len(starts), doubt=True)
    simulator.reset(states=starts)
    steps = [(simulator.step(torch.full((len(starts),), action)), simulator.doubt) for action in actions]
    start = int(torch.stack([step.reward for step, _ in steps]).sum(0).argmax())
    states = torch.stack([starts[start], *[step.state[start] for step, _ in steps]])
    others = [
        (float(s.reward[start]), bool(s.terminated[start] | s.truncated[start]), float(d[start])) for s, d in steps
    ]
    assert any(reward > 0 for reward, _, _ in others)
    return start, actions, states, np.array(others)


def test_two_hundred_steps_are_those_of_python(browser, pages, walk):
    start, actions, states, others = walk
    browser.get(pages["minigrid"])
    found = numbers(browser, WALK, start, actions)
    expected = states.permute(0, 2, 3, 1).numpy()
    seen, told = found[: expected.size].reshape(expected.shape), found[expected.size :].reshape(others.shape)
    assert np.abs(seen - expected).max() < 1e-3
    np.testing.assert_array_equal(told[:, 1], others[:, 1])
    np.testing.assert_allclose(told[:, 0], others[:, 0], atol=1e-5)
    np.testing.assert_allclose(told[:, 2], others[:, 2], atol=0.01)


@pytest.mark.parametrize("moment", [0, 3])
def test_pictures_are_those_of_python(browser, pages, walk, shipped, moment):
    """Also where only cells that changed are drawn, over the moments before."""
    start, actions, states, _ = walk
    browser.get(pages["minigrid"])
    numbers(browser, WALK, start, actions[:moment])
    _near(_picture(browser, moment), shipped, states[moment])


def test_blended_pictures_are_those_of_python(browser, pages, video, heard):
    browser.get(pages["digits"])
    browser.execute_script("nova.driving = ''; nova.begin(0, 0, 1);")
    _near(_picture(browser, 3, SMALL)[..., :1], video, video.world_model.encode(heard[1, 3:] / 255.0)[0])


def test_a_dream_of_video_goes_on_as_in_python(browser, pages, video, heard):
    browser.get(pages["digits"])
    script = """
        nova.driving = '';
        nova.begin(0, 0, 1);
        for (let i = 0; i < 5; i++) nova.session.goOn();
        return nova.session.history.map((moment) => moment.state.data);"""
    expected, _ = DreamSimulator(video, horizon=0).generate(heard[1:] / 255.0, 3 / 8, 8)
    expected = expected[0].permute(0, 2, 3, 1).numpy()
    np.testing.assert_allclose(numbers(browser, script).reshape(expected.shape), expected, atol=0.02)  # heard in halves


def _picture(browser, moment, side=SIDE):
    return numbers(browser, PICTURE, side, moment).reshape(side, side, 4)[::-1, :, :3]


def _near(picture, dream, state):
    expected = dream.world_model.render(state[None], len(picture), as_bytes=True)[0].numpy().astype(np.float32)
    assert expected.std() > 10  # a picture, and no plain field
    assert (np.abs(picture - expected).max(2) <= 1).mean() > 0.999


def test_the_agents_odds_are_those_of_python(browser, pages, walk, shipped):
    start, _, states, _ = walk
    browser.get(pages["minigrid"])
    script = (
        "nova.begin(0, 1, arguments[0]); return Float32Array.from(nova.session.policy.odds(nova.session.now.state))"
    )
    agent = load_agent("minigrid-ppo", shipped, "cpu")
    expected = agent.policy.get_distribution(states[:1]).distribution.probs[0].detach().numpy()
    np.testing.assert_allclose(numbers(browser, script, start), expected, atol=1e-4)


def test_keys_act(browser, pages):
    from selenium.webdriver.common.keys import Keys

    browser.get(pages["minigrid"])
    press = browser.find_element("tag name", "body").send_keys
    step = browser.find_element("id", "step")
    for key, after in ((Keys.ARROW_RIGHT, 1), (Keys.ARROW_UP, 2), (Keys.BACKSPACE, 1), (Keys.ENTER, 0)):
        press(key)
        _until(lambda after=after: step.text == str(after))
    press("3")
    _until(lambda: browser.find_element("id", "layer-chip").text == "motion: B(u)")
    press("3a")
    _until(lambda: int(step.text) >= 2)
    press(".")
    assert browser.execute_script("return nova.paused && nova.driving === 'agent'")


def test_a_touch_acts_and_two_fingers_enlarge(browser, pages):
    browser.get(pages["minigrid"])
    forward = browser.find_element("css selector", "#actions button[title^=forward]")
    _touch(browser, [_middle(browser, forward)])
    _until(lambda: browser.find_element("id", "step").text == "1")
    x, y = _middle(browser, browser.find_element("id", "frame"))
    _touch(browser, [(x - 20, y), (x + 20, y)], [(x - 80, y), (x + 80, y)])
    _until(lambda: browser.execute_script("return nova.stage.viewpoint.zoom") == pytest.approx(4.0, rel=0.01))


def _middle(browser, element):
    """The middle of an element in the window, into which it is scrolled."""
    script = """
        arguments[0].scrollIntoView({block: 'center'});
        const box = arguments[0].getBoundingClientRect();
        return [box.left + box.width / 2, box.top + box.height / 2];"""
    return browser.execute_script(script, element)


def _touch(browser, places, moved=()):
    def send(kind, places):
        points = [{"x": x, "y": y, "id": i} for i, (x, y) in enumerate(places)]
        browser.execute_cdp_cmd("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

    send("touchStart", places)
    for place in [moved] if moved else []:
        send("touchMove", place)
    send("touchEnd", [])


def test_a_dream_of_video_goes_on_by_itself(browser, pages):
    browser.get(pages["digits"])
    _until(lambda: int(browser.find_element("id", "step").text) >= 2)
    assert not browser.find_element("id", "return").is_displayed()


def test_nothing_is_asked_of_a_network(browser, pages):
    browser.get(pages["minigrid"])
    events = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    asked = [event["params"]["request"]["url"] for event in events if event["method"] == "Network.requestWillBeSent"]
    assert pages["minigrid"] in asked
    assert not [url for url in asked if not url.startswith(("file:", "data:"))]
    assert not [entry for entry in browser.get_log("browser") if entry["level"] == "SEVERE"]


def test_without_webgl_the_page_says_so_and_draws_all_the_same(pages, shipped):
    with chromium(*WINDOW, WITHOUT) as driver:
        driver.get(pages["minigrid"])
        assert "no WebGL2" in driver.find_element("id", "message").text
        script = """
            nova.begin(0, 1, 0);
            const {canvas} = nova.stage.painter;
            nova.stage.draw(nova.session.now.state, [], null);
            const {data} = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
            return Float32Array.from([canvas.width, ...data]);"""
        side, *pixels = numbers(driver, script)
    side = int(side)
    picture = np.reshape(pixels, (side, side, 4))[..., :3]
    expected = (
        shipped.world_model.render(shipped.starts["random"][:1], side, as_bytes=True)[0].numpy().astype(np.float32)
    )
    assert (np.abs(picture - expected).max(2) <= 1).mean() > 0.999


def _until(condition, seconds=60.0):
    """Waits until something is so, however busy the machine is."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it never became so"
        time.sleep(0.05)
