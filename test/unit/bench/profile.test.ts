/** A profile is folded: what took the time is charged to the stage that asked for it, under names a reader knows. */
import { expect, test } from 'vitest'
import { byStage, type CpuProfile, fold, placeOf, selfByFile } from '../../../bench/lib/cpuprofile.ts'
import { flameGraph } from '../../../bench/lib/flame.ts'

const SRC = 'file:///somewhere/infergate/src'
const at = (functionName: string, url: string, lineNumber = 0) => ({ functionName, url, lineNumber })

// read → keep → hash and undici's send; beside them the collector, and nothing to do.
const PROFILE: CpuProfile = {
  startTime: 1000,
  nodes: [
    { id: 1, callFrame: at('(root)', ''), children: [2, 7, 8] },
    { id: 2, callFrame: at('onStreamRead', 'node:internal/stream_base_commons'), children: [3] },
    { id: 3, callFrame: at('onData', `${SRC}/data/ingress/door.ts`), children: [4, 5] },
    { id: 4, callFrame: at('keep', `${SRC}/data/cache/memory/memory.ts`), children: [6] },
    { id: 5, callFrame: at('send', 'file:///somewhere/infergate/node_modules/undici/lib/client.js') },
    { id: 6, callFrame: at('hash', '') },
    { id: 7, callFrame: at('(garbage collector)', '') },
    { id: 8, callFrame: at('(idle)', '') },
  ],
  samples: [2, 3, 6, 6, 5, 7, 8, 3],
  timeDeltas: [0, 10, 20, 30, 40, 50, 60, 70],
}

test('each sample stands for the time until the next, and idle time for none', () => {
  const root = fold([PROFILE])
  expect(root.totalMicros).toBe(10 + 20 + 30 + 40 + 50 + 60)
  expect(Object.fromEntries(selfByFile(root))).toEqual({
    'node:stream_base_commons': 10,
    'data/ingress/door.ts': 20,
    'native hash': 70,
    'undici/lib/client.js': 50,
    '(garbage collector)': 60,
  })
})

test('what is done for a stage is charged to it', () => {
  expect(byStage(fold([PROFILE]))).toEqual([
    ['data/cache', 70],
    ['garbage collector', 60],
    ['undici', 50],
    ['data/ingress', 20],
    ['node: sockets, timers, event loop', 10],
  ])
})

test('only what lies within the window counts, over all threads', () => {
  // The third and fourth sample are at 1030 and 1060.
  expect(fold([PROFILE, PROFILE], { from: 1030, to: 1060 }).totalMicros).toBe(2 * (30 + 40))
})

test.each([
  [
    'ours',
    at('pick', `${SRC}/data/balance/policies/p2c.ts`),
    { name: 'pick', file: 'data/balance/policies/p2c.ts', owner: 'ours' },
  ],
  [
    'nameless',
    at('', `${SRC}/main.ts`, 41),
    { name: '(anonymous, line 42)', file: 'main.ts', owner: 'ours' },
  ],
  [
    'built',
    at('run', 'file:///x/infergate/dist/cli/index.js'),
    { name: 'run', file: 'cli/index.js', owner: 'ours' },
  ],
  [
    'a package of a package',
    at('f', 'file:///x/node_modules/a/node_modules/@b/c/d.js'),
    { name: 'f', file: '@b/c/d.js', owner: 'package' },
  ],
  ["Node's", at('emit', 'node:events'), { name: 'emit', file: 'node:events', owner: 'node' }],
  [
    'WebAssembly',
    at('parse', 'wasm://wasm/00034eea'),
    { name: 'parse', file: 'WebAssembly', owner: 'engine' },
  ],
  ['native', at('writev', ''), { name: 'writev', file: 'native writev', owner: 'engine' }],
])('a frame that is %s has a readable place', (_, frame, place) => {
  expect(placeOf(frame)).toEqual(place)
})

test('the flame graph draws every visible frame in proportion, escaped', () => {
  const svg = flameGraph(fold([PROFILE]), 'hits & misses')
  expect(svg).toContain('hits &amp; misses')
  // 70 of 210 microseconds, of 1400 units.
  expect(svg).toMatch(/<title>hash: 33\.3 %, itself 33\.3 %<\/title><rect [^>]*width="466\.2"/)
  expect(svg).not.toContain('(idle)')
  expect(svg.match(/<rect [^>]*fill="#7db3f5"/g)).toHaveLength(3)
})
