/**
 * What a start costs, without a model: the sources beside the bundle that the package has, in turn. Milliseconds until /readyz
 * says 200, processor time until then, and the memory of the process.
 *
 *   node bench/micro/start.ts [ROUNDS]
 */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { bundle } from '../../scripts/bundle.ts'
import { BUNDLE, startOnce } from '../lib/measure/startup.ts'
import type { Round } from '../lib/scenario.ts'
import { MAIN } from '../lib/servers/infergate.ts'
import { help } from '../lib/usage.ts'

help(import.meta.filename)
const rounds = Number(process.argv[2] ?? 9)
const folder = mkdtempSync(join(tmpdir(), 'infergate-start-'))
await bundle(BUNDLE)
const sides = [
  { name: 'sources', main: MAIN, found: [] as Round[] },
  { name: 'bundle', main: join(BUNDLE, 'main.js'), found: [] as Round[] },
]
// The first start of each writes what it compiles, and does not count.
for (let round = 0; round <= rounds; round++)
  for (const { main, found } of sides) {
    const figures = await startOnce(main, folder)
    if (round > 0) found.push(figures)
  }
rmSync(folder, { recursive: true })
for (const { name, found } of sides) {
  const middle = (figure: keyof Round) => {
    const figures = found.map((each) => Number(each[figure])).sort((a, b) => a - b)
    return figures[figures.length >> 1]?.toFixed(0)
  }
  console.log(`${name}: ${middle('readyMs')} ms, ${middle('cpuMs')} ms of a core, ${middle('rssMiB')} MiB`)
}
