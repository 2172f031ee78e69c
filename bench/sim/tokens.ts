/**
 * A pool that generates tokens, scaled in simulation: the scaler by tokens beside the same without them, and beside autoscalers by requests and by
 * calls in flight. The length of the answers changes while their rate does not, and the other way round.
 *
 *   node bench/sim/tokens.ts [--seed 1] [--json] [--say]
 *
 * `--say` prints each decision of the scaler by tokens in its own words.
 */
import { parseArgs } from 'node:util'
import { help } from '../lib/usage.ts'
import { byInflight, byPlaces, byRequests, byTokens, type TokenRule } from './tokens/rules.ts'
import { MAX_REPLICAS, PHASES, playTokens, tokenLoad, WORLD } from './tokens/scenario.ts'

help(import.meta.filename)
const { values } = parseArgs({
  options: {
    seed: { type: 'string', default: '1' },
    json: { type: 'boolean', default: false },
    say: { type: 'boolean', default: false },
  },
})
const seed = Number(values.seed)
if (!Number.isInteger(seed)) {
  console.error(`--seed must be a whole number, got ${values.seed}`)
  process.exit(1)
}

let said = ''
function say({ decision }: TokenRule, at: number): void {
  if (!values.say || !decision || decision.from === decision.desired) return
  const { sentence } = decision
  if (sentence !== said) console.log(`${Math.round(at / 1000)} s: ${sentence}`)
  said = sentence
}

const load = tokenLoad(PHASES, seed)
const rules = [
  byTokens(WORLD, MAX_REPLICAS),
  byPlaces(WORLD, MAX_REPLICAS),
  ...[2, 2.5, 2.75, 3, 4].map((each) => byRequests(each, MAX_REPLICAS)),
  ...[16, 24, 32].map((each) => byInflight(each, MAX_REPLICAS)),
]
const percent = (share: number) => Number((100 * share).toFixed(1))
const rows = rules.map((rule) => {
  const score = playTokens(load, rule, WORLD, say)
  return {
    rule: rule.name,
    'late first tokens %': percent(score.lateFirst),
    'slow generations %': percent(score.lateBetween),
    'violation-s': score.violationSeconds,
    'replica-s': Math.round(score.replicaSeconds),
    'most replicas': score.most,
  }
})
if (values.json) console.log(JSON.stringify({ seed, rows }, undefined, 2))
else console.table(rows)
