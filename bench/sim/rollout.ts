/**
 * A route moved from one pool to another in simulation: with and without warming, all at once, and to versions that are bad. Writes
 * `bench/results/rollout.md` and its plots; takes about four minutes.
 *
 *   node bench/sim/rollout.ts [--quick]
 */
import { mkdirSync, writeFileSync } from 'node:fs'
import { parseArgs } from 'node:util'
import { help } from '../lib/usage.ts'
import { judgeTable, PAIRS } from './rollout/judge-table.ts'
import { plots } from './rollout/plots.ts'
import { badTable, describeSetting, movedTable, stories } from './rollout/tables.ts'
import { draw, play, SETTING, type Setting } from './rollout/world.ts'

help(import.meta.filename)
const { values } = parseArgs({ options: { quick: { type: 'boolean', default: false } } })
const { quick } = values
const setting: Setting = quick
  ? {
      ...SETTING,
      keys: 200_000,
      rows: 100_000,
      perSecond: 400,
      sampled: 600_000,
      kept: 70_000,
      warmPerSecond: 200,
    }
  : SETTING
const drawn = draw(setting)
const moved = {
  'all at once, cold': play({ ...setting, how: 'switch', warmPerSecond: 0 }, drawn),
  'all at once, warmed': play({ ...setting, how: 'switch' }, drawn),
  'rollout, cold': play({ ...setting, warmPerSecond: 0, untilMs: 60 * 60_000 }, drawn),
  'rollout, warmed': play(setting, drawn),
}
const unwarmed = { ...setting, warmPerSecond: 0, untilMs: 20 * 60_000 }
const uncompared = { ...unwarmed, options: { ...unwarmed.options, compare: 0 } }
const bad = {
  'fails 5 points more often': [unwarmed, uncompared].map((base) =>
    play({ ...base, bad: { failing: 0.05 } }, drawn),
  ),
  'fails half of the time': [unwarmed, uncompared].map((base) =>
    play({ ...base, bad: { failing: 0.5 } }, drawn),
  ),
  'takes 1.5 times as long': [unwarmed, uncompared].map((base) =>
    play({ ...base, bad: { slower: 1.5 } }, drawn),
  ),
  '1 % of its answers differ': [play({ ...unwarmed, bad: { differing: 0.01 } }, drawn)],
}
const page = [
  '# A rollout in the simulator',
  '',
  `\`node bench/sim/rollout.ts${quick ? ' --quick' : ''}\`, seed ${setting.seed}. ${describeSetting(setting)}`,
  '',
  ...movedTable(moved, setting),
  '',
  ...stories(moved['rollout, warmed']),
  '',
  ...badTable(bad),
  '',
  ...judgeTable(PAIRS, quick ? 100 : 1_000),
  '',
].join('\n')
process.stdout.write(page)
if (!quick) {
  const folder = new URL('../results/', import.meta.url)
  mkdirSync(folder, { recursive: true })
  writeFileSync(new URL('rollout.md', folder), page)
  for (const [name, text] of plots(moved, setting))
    writeFileSync(new URL(`rollout-${name}.svg`, folder), text)
}
