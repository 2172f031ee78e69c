/**
 * Parses YAML 1.2 (core schema) with positions: text in, a plain value and a map from paths to lines out. No other file
 * imports the yaml package.
 */
import {
  type Document,
  isAlias,
  isMap,
  isScalar,
  isSeq,
  LineCounter,
  type Node,
  type Pair,
  parseAllDocuments,
  stringify,
  type YAMLError,
} from 'yaml'
import { expand } from './env.ts'
import type { Issue } from './messages.ts'
import type { Path } from './walk.ts'

export interface Position {
  readonly line: number
  readonly column: number
}

export interface YamlProblem extends Position {
  readonly message: string
  readonly fix?: string
  readonly path: Path
}

export interface YamlText {
  /** The document as plain values. */
  readonly value: unknown
  /** Keys without a value, which `value` leaves out. */
  readonly empty: readonly Path[]
  /** Where values came from the environment, with their text. */
  readonly substituted: readonly { readonly path: Path; readonly text: string }[]
  /** The position of the value (or the key) at `path`; of an absent one, where it should be. */
  locate(path: Path, at: Issue['at']): Position
  /** Unresolved references and aliases; the values they stand for are not validated. */
  readonly problems: readonly YamlProblem[]
}

export type YamlResult = { readonly yaml: YamlText } | { readonly problems: readonly YamlProblem[] }

/** Enough for usual anchors, too few for an exponential expansion. */
const MAX_ALIASES = 100

export function readYaml(text: string, env: NodeJS.ProcessEnv): YamlResult {
  const lines = new LineCounter()
  const options = {
    lineCounter: lines,
    prettyErrors: false,
    stringKeys: true,
    schema: 'core',
    logLevel: 'silent',
  } as const
  const documents = parseAllDocuments(text, options)
  const document = Array.isArray(documents) ? documents[0] : undefined
  const positionAt = (offset: number): Position => {
    const { line, col } = lines.linePos(offset)
    return { line: Math.max(1, line), column: Math.max(1, col) }
  }
  if (document === undefined) return fail(positionAt(0), 'the file is empty')
  const broken = [...document.errors, ...document.warnings]
  if (broken.length > 0)
    return { problems: onePerLine(broken.map((error) => syntaxProblem(error, text, positionAt))) }
  if (documents.length > 1)
    return fail(positionAt(documents[1]?.range?.[0] ?? 0), 'the file holds more than one document')
  if (document.contents === null || isEmpty(document.contents))
    return fail(positionAt(0), 'the file is empty')

  const found = substitute(document, env, positionAt)
  try {
    const empty: Path[] = []
    const value = prune(document.toJS({ maxAliasCount: MAX_ALIASES }), { path: [], ancestors: [], empty })
    const locate = (path: Path, at: Issue['at']): Position => positionAt(offsetOf(document, path, at))
    return { yaml: { value, empty, ...found, locate } }
  } catch (error) {
    if (!(error instanceof ReferenceError || error instanceof RangeError)) throw error
    return found.problems.length > 0 ? found : fail(positionAt(0), `aliases: ${error.message}`)
  }
}

/** Plain data as YAML, a page wide. */
export function writeYaml(value: unknown): string {
  return stringify(value, { lineWidth: 100 })
}

function fail(position: Position, message: string): YamlResult {
  return { problems: [{ ...position, message, path: [] }] }
}

const isEmpty = (node: unknown): boolean => isScalar(node) && node.value === null

function syntaxProblem(
  error: YAMLError,
  text: string,
  positionAt: (offset: number) => Position,
): YamlProblem {
  const offset = error.pos[0]
  const position = { ...positionAt(offset), path: [] }
  if (text.slice(offset - 1, offset + 1) === '${') {
    return { ...position, message: 'inside { } and [ ] a variable needs quotes', fix: 'write "${NAME}"' }
  }
  if (error.code === 'DUPLICATE_KEY') return { ...position, message: 'this key is there twice' }
  if (error.code === 'RESOURCE_EXHAUSTION') return { ...position, message: 'nested too deeply' }
  const code = text.startsWith('\t', offset) ? { fix: 'indent with spaces' } : {}
  // The parser's message quotes the text, which may be a secret; the position is enough.
  return { ...position, message: error.message.replace(/: ".*$/s, ''), ...code }
}

/** One mistake causes several errors: the first one on a line is kept. */
function onePerLine(problems: readonly YamlProblem[]): YamlProblem[] {
  const sorted = [...problems].sort((a, b) => a.line - b.line || a.column - b.column)
  return sorted.filter((problem, i) => i === 0 || sorted[i - 1]?.line !== problem.line)
}

interface Substitution {
  readonly substituted: { path: Path; text: string }[]
  readonly problems: YamlProblem[]
}

/** Expands environment variables in every scalar; also finds unresolved aliases and unsafe keys. */
function substitute(
  document: Document,
  env: NodeJS.ProcessEnv,
  positionAt: (offset: number) => Position,
): Substitution {
  const result: Substitution = { substituted: [], problems: [] }
  const report = (node: unknown, path: Path, message: string): void => {
    const offset = (node as Node | null)?.range?.[0] ?? 0
    result.problems.push({ ...positionAt(offset), path, message })
  }
  const visit = (node: unknown, path: Path): void => {
    if (isMap(node)) {
      for (const pair of node.items) {
        const at = [...path, keyOf(pair)]
        // The schema would ignore this key silently.
        if (keyOf(pair) === '__proto__') report(pair.key, at, 'this key cannot be used')
        visit(pair.value, at)
      }
    }
    if (isSeq(node)) for (const [i, item] of node.items.entries()) visit(item, [...path, i])
    if (isAlias(node) && node.resolve(document) === undefined) {
      report(node, path, 'this alias has no anchor before it')
    }
    if (!isScalar(node) || typeof node.value !== 'string' || !node.value.includes('${')) return
    const expanded = expand(node.value, env)
    if ('message' in expanded)
      result.problems.push({ ...positionAt(node.range?.[0] ?? 0), path, ...expanded })
    else {
      node.value = expanded.text
      if (expanded.isSubstituted) result.substituted.push({ path, text: expanded.text })
    }
  }
  visit(document.contents, [])
  return result
}

function keyOf(pair: Pair): string {
  return String(isScalar(pair.key) ? pair.key.value : pair.key)
}

interface Place {
  readonly path: Path
  readonly ancestors: readonly unknown[]
  /** Where what is left out is noted. */
  readonly empty: Path[]
}

/** A copy without the keys that have no value: in YAML a block whose lines are all comments is null. */
function prune(value: unknown, { path, ancestors, empty }: Place): unknown {
  if (typeof value !== 'object' || value === null) return value
  if (ancestors.includes(value)) throw new ReferenceError('an alias lies within its own anchor')
  const below = (entry: unknown, key: PropertyKey) =>
    prune(entry, { path: [...path, key], ancestors: [...ancestors, value], empty })
  if (Array.isArray(value)) return value.map(below)
  const entries = Object.entries(value).filter(([key, entry]) => {
    const isEmpty = entry === null || entry === undefined
    if (isEmpty) empty.push([...path, key])
    return !isEmpty
  })
  return Object.fromEntries(entries.map(([key, entry]) => [key, below(entry, key)]))
}

function offsetOf(document: Document, path: Path, at: Issue['at']): number {
  let node: Node | null = document.contents
  let offset = node?.range?.[0] ?? 0
  for (const [depth, key] of path.entries()) {
    if (isAlias(node)) node = node.resolve(document) ?? null
    const isLast = depth === path.length - 1
    if (isMap(node)) {
      const pair: Pair | undefined = node.items.find((item) => keyOf(item) === String(key))
      if (!pair) break
      const here = isLast && at === 'key' ? pair.key : (pair.value ?? pair.key)
      offset = (here as Node | null)?.range?.[0] ?? offset
      node = pair.value as Node | null
    } else if (isSeq(node)) {
      node = (node.items[Number(key)] as Node | undefined) ?? null
      offset = node?.range?.[0] ?? offset
    } else break
  }
  return offset
}
