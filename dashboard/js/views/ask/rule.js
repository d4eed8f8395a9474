// "Make a rule of this": the narrowest rule for what was asked, what it would have answered, and only then the button that saves it.

import { proposeRule, saveRule } from "../../api.js";
import { ruleText } from "../../asks.js";
import { html, useState } from "../../html.js";
import * as store from "../../store.js";
import { Literal } from "../bits.js";

export function MakeRule({ one }) {
  const [found, setFound] = useState(null);
  const [said, setSaid] = useState("");
  const ask = async () => {
    setSaid("Looking …");
    try {
      setFound(await proposeRule(one, one.decision));
      setSaid("");
    } catch (error) {
      setSaid(error.message);
    }
  };
  const save = async () => {
    try {
      await saveRule(one, found.rules, found.version);
      setSaid("Saved. The village's runners have it.");
    } catch (error) {
      setSaid(error.message);
    }
    setFound(null);
  };
  if (said && !found) return html`<p class="ask-rule" role="status" data-testid="rule-said">${said}</p>`;
  if (!found) return html`<p class="ask-rule"><button type="button" class="link-button" data-testid="make-rule" disabled=${store.stale.value} onClick=${ask}>Make a rule of this …</button></p>`;
  if (!found.rules.length) return html`<p class="ask-rule" role="status" data-testid="rule-said"><${Literal} text=${`No rule: ${found.whyNot}.`} /></p>`;
  return html`<div class="ask-rule" data-testid="rule-proposal">
    <p>From now on, without asking a person:</p>
    <ul>${found.rules.map((rule) => html`<li><code><${Literal} text=${ruleText(rule)} /></code></li>`)}</ul>
    <p class="soft" data-testid="rule-trial">${trialOf(found)}</p>
    <div class="ask-buttons"><button type="button" class="button primary" data-testid="save-rule" disabled=${store.stale.value} onClick=${save}>Save the rule${found.rules.length > 1 ? "s" : ""}</button>
      <button type="button" class="button" onClick=${() => setFound(null)}>Back</button></div>
  </div>`;
}

function trialOf({ answers, differ, of }) {
  const asked = of === 1 ? "the one question" : `the last ${of} questions`;
  const other = differ ? ` To ${differ} of these a person said otherwise.` : "";
  return `Of ${asked} that people were asked here, it would have answered ${answers}.${other}`;
}
