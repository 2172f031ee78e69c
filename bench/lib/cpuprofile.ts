/** A .cpuprofile of Node, folded: one tree of frames with readable names, and what each file and stage took. */

export interface CpuProfile {
  readonly nodes: readonly ProfileNode[]
  /** Microseconds of the monotonic clock. */
  readonly startTime: number
  readonly samples: readonly number[]
  /** Microseconds before each sample. */
  readonly timeDeltas: readonly number[]
}

interface ProfileNode {
  readonly id: number
  readonly callFrame: { readonly functionName: string; readonly url: string; readonly lineNumber: number }
  readonly children?: readonly number[]
}

/** Whose code it is: ours, a package's, Node's own, or the engine and the native code below it. */
export type Owner = 'ours' | 'package' | 'node' | 'engine'

export interface Frame {
  readonly name: string
  /** Where it is: `data/serve/pipeline.ts`, `undici/lib/dispatcher/client.js`, `node:net`; for native code, its name. */
  readonly file: string
  readonly owner: Owner
  selfMicros: number
  totalMicros: number
  readonly children: Map<string, Frame>
}

export interface Window {
  readonly from: number
  readonly to: number
}

const newFrame = (name: string, file: string, owner: Owner): Frame => ({
  name,
  file,
  owner,
  selfMicros: 0,
  totalMicros: 0,
  children: new Map(),
})

/** All profiles, one a thread, as one tree; only what was sampled within the window, and not what stood idle. */
export function fold(
  profiles: readonly CpuProfile[],
  { from, to }: Window = { from: -Infinity, to: Infinity },
): Frame {
  const root = newFrame('all', '', 'engine')
  for (const profile of profiles) {
    const stacks = stacksOf(profile.nodes)
    let at = profile.startTime
    profile.samples.forEach((sample, i) => {
      at += profile.timeDeltas[i] ?? 0
      // A sample stands for the time until the next.
      const micros = profile.timeDeltas[i + 1] ?? 0
      const stack = stacks.get(sample)
      if (at >= from && at <= to && micros > 0 && stack && stack.at(-1)?.name !== '(idle)')
        add(root, stack, micros)
    })
  }
  return root
}

type Place = Pick<Frame, 'name' | 'file' | 'owner'>

function add(root: Frame, stack: readonly Place[], micros: number): void {
  let frame = root
  frame.totalMicros += micros
  for (const { name, file, owner } of stack) {
    const key = `${name} ${file}`
    const child = frame.children.get(key) ?? newFrame(name, file, owner)
    frame.children.set(key, child)
    child.totalMicros += micros
    frame = child
  }
  frame.selfMicros += micros
}

/** For each node the frames from the outermost to itself, without the root. */
function stacksOf(nodes: readonly ProfileNode[]): Map<number, readonly Place[]> {
  const places = new Map(nodes.map((node) => [node.id, placeOf(node.callFrame)]))
  const parents = new Map(
    nodes.flatMap(({ id, children }) => (children ?? []).map((child) => [child, id] as const)),
  )
  const stacks = new Map<number, readonly Place[]>()
  const stackOf = (id: number): readonly Place[] => {
    const known = stacks.get(id)
    if (known) return known
    const place = places.get(id)
    const parent = parents.get(id)
    const stack = parent === undefined || !place ? [] : [...stackOf(parent), place]
    stacks.set(id, stack)
    return stack
  }
  for (const { id } of nodes) stackOf(id)
  return stacks
}

/** `lineNumber` counts from 0. */
export function placeOf({ functionName, url, lineNumber }: ProfileNode['callFrame']): Place {
  const { file, owner } = fileOf(url, functionName)
  const name = functionName === '' ? `(anonymous, line ${lineNumber + 1})` : functionName
  return { name, file, owner }
}

function fileOf(url: string, functionName: string): { file: string; owner: Owner } {
  if (url === '') return { file: nativeName(functionName), owner: 'engine' }
  if (url.startsWith('node:')) return { file: url.replace('node:internal/', 'node:'), owner: 'node' }
  if (url.startsWith('wasm:')) return { file: 'WebAssembly', owner: 'engine' }
  const [, inPackage] = /\/node_modules\/(?!.*\/node_modules\/)(.*)$/.exec(url) ?? []
  if (inPackage !== undefined) return { file: inPackage, owner: 'package' }
  const [, inSource] = /\/(?:src|dist)\/(.*)$/.exec(url) ?? []
  return { file: inSource ?? url.slice(url.lastIndexOf('/') + 1), owner: 'ours' }
}

/** Names in parentheses are the engine's own, such as the garbage collector. */
const nativeName = (name: string): string => (name.startsWith('(') ? name : `native ${name || 'code'}`)

/** Microseconds of each file itself: what it calls is counted where it is. Most first. */
export function selfByFile(root: Frame): [file: string, micros: number][] {
  const files = new Map<string, number>()
  walk(root, [], (frame) => count(files, frame.file, frame.selfMicros))
  return ranked(files)
}

/**
 * Microseconds of each stage. What Node and the engine do for a stage is charged to it: to the innermost frame that is ours
 * or a package's. What is done for nobody, such as polling and reading sockets, stands under its own name.
 */
export function byStage(root: Frame): [stage: string, micros: number][] {
  const stages = new Map<string, number>()
  walk(root, [], (frame, above) => {
    const payer = [...above, frame].findLast(({ owner }) => owner === 'ours' || owner === 'package')
    count(
      stages,
      payer ? stageOf(payer) : (ORPHANS[frame.name] ?? 'node: sockets, timers, event loop'),
      frame.selfMicros,
    )
  })
  return ranked(stages)
}

const ORPHANS: Readonly<Record<string, string>> = {
  '(program)': 'native code under no JavaScript: polling, reading sockets, the kernel',
  '(garbage collector)': 'garbage collector',
}

/** The folder of a file, or the file where it stands between folders: `data/cache`, `data/serve/pipeline.ts`, `protocol`, `undici`. */
function stageOf({ file, owner }: Frame): string {
  const parts = file.split('/')
  if (owner === 'package') return parts[0]?.startsWith('@') ? parts.slice(0, 2).join('/') : (parts[0] ?? file)
  return parts[0] === 'data' || parts[0] === 'control' ? parts.slice(0, 2).join('/') : (parts[0] ?? file)
}

function walk(
  frame: Frame,
  above: readonly Frame[],
  visit: (frame: Frame, above: readonly Frame[]) => void,
): void {
  visit(frame, above)
  for (const child of frame.children.values()) walk(child, [...above, frame], visit)
}

function count(into: Map<string, number>, name: string, micros: number): void {
  if (micros > 0) into.set(name, (into.get(name) ?? 0) + micros)
}

const ranked = (counts: ReadonlyMap<string, number>): [string, number][] =>
  [...counts].sort(([, a], [, b]) => b - a)
