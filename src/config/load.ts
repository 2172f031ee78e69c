/** Loads a YAML file into frozen `Settings`, or lists all of its problems with line, column and fix. */
import { accessSync, constants, existsSync, statSync } from 'node:fs'
import { dirname, resolve as resolvePath } from 'node:path'
import * as z from 'zod'
import { isStoreUrl } from '../core/store-url.ts'
import { readRegular, UnreadableError } from '../lib/regular-file.ts'
import { emptyIssues, type Issue } from './messages.ts'
import { missingPackagesOf } from './packages.ts'
import { resolve } from './resolve.ts'
import type { PartNames } from './schema/custom-parts.ts'
import { type Settings, type SettingsSchema, schemaFor } from './schema.ts'
import { core, type Path, printPath, property, schemaAt } from './walk.ts'
import { warningsOf } from './warnings.ts'
import { readYaml, type YamlText } from './yaml.ts'

export interface ConfigProblem {
  readonly file: string
  /** From 1. */
  readonly line: number
  /** From 1. */
  readonly column: number
  /** Such as `pools.ranker.backends[0].url`; empty where it is about the file. */
  readonly path: string
  readonly message: string
  /** What to do about it, in a few words. */
  readonly fix?: string
}

export type LoadedSettings =
  | {
      readonly settings: Settings
      /** Settings that work but are probably not meant. */
      readonly warnings: readonly ConfigProblem[]
    }
  | { readonly problems: readonly ConfigProblem[] }

/** Bound of the file: far above any configuration, and small enough to be parsed while calls are served. */
const MAX_FILE_BYTES = 1024 * 1024

/**
 * Reads and resolves the file. Never rejects: an unreadable file is a problem, too.
 * @param partNames the names of custom parts that the YAML may use
 */
export async function loadSettings(
  file: string,
  env: NodeJS.ProcessEnv = process.env,
  partNames: PartNames = {},
): Promise<LoadedSettings> {
  const content = await readText(file)
  if ('problem' in content) return { problems: [{ file, line: 1, column: 1, path: '', ...content.problem }] }
  return parseSettings(content.text, file, env, partNames)
}

/**
 * As `loadSettings`, for a text. `file` appears in the messages, and relative paths start from its folder; the model
 * files that the text names must exist.
 */
export function parseSettings(
  text: string,
  file: string,
  env: NodeJS.ProcessEnv = process.env,
  partNames: PartNames = {},
): LoadedSettings {
  const schema = schemaFor(partNames)
  const read = readYaml(text, env)
  if ('problems' in read) {
    return { problems: read.problems.map((problem) => ({ file, ...problem, path: printPath(problem.path) })) }
  }
  const { yaml } = read
  const resolved = resolve(withTypes(yaml, schema), dirname(resolvePath(file)), schema)
  const issues = [
    ...('issues' in resolved ? resolved.issues : absences(resolved.settings)),
    ...emptyIssues(schema, yaml.value, yaml.empty),
  ]
  if ('settings' in resolved && issues.length === 0 && yaml.problems.length === 0) {
    const { settings } = resolved
    const warnings = warningsOf(settings).map((issue) => located(issue, file, yaml))
    return { settings, warnings: warnings.sort(byPlace) }
  }
  const broken = new Set(yaml.problems.map((problem) => printPath(problem.path)))
  const problems = [
    ...yaml.problems.map((problem) => ({ file, ...problem, path: printPath(problem.path) })),
    ...issues.filter(({ path }) => !broken.has(printPath(path))).map((issue) => located(issue, file, yaml)),
  ]
  return { problems: problems.sort(byPlace) }
}

function byPlace(a: ConfigProblem, b: ConfigProblem): number {
  return a.line - b.line || a.column - b.column
}

function located({ path, at, message, fix }: Issue, file: string, yaml: YamlText): ConfigProblem {
  const { line, column } = yaml.locate(path, at)
  const about = printPath(at === 'key' ? path.slice(0, -1) : path)
  return { file, line, column, path: about, message, ...(fix === undefined ? {} : { fix }) }
}

/** `file:line:column: path: message (fix)`, one line. */
export function formatProblem({ file, line, column, path, message, fix }: ConfigProblem): string {
  const about = path === '' ? '' : `${path}: `
  return `${file}:${line}:${column}: ${about}${message}${fix === undefined ? '' : ` (${fix})`}`
}

/** Converts values from environment variables, which are text, where the schema expects a number or a boolean. */
function withTypes({ value, substituted }: YamlText, schema: SettingsSchema): unknown {
  for (const { path, text } of substituted) {
    const typed = typedAs(schemaAt(schema, path, value), text)
    if (typed !== text) assign(value, path, typed)
  }
  return value
}

function typedAs(schema: ReturnType<typeof schemaAt>, text: string): unknown {
  const inner = schema && core(schema)
  const accepts = inner instanceof z.ZodUnion ? inner.def.options : [inner]
  const isNumber = /^-?\d+(?:\.\d+)?$/.test(text)
  if (isNumber && accepts.some((one) => one instanceof z.ZodNumber)) return Number(text)
  if (inner instanceof z.ZodBoolean && (text === 'true' || text === 'false')) return text === 'true'
  return text
}

function assign(value: unknown, path: Path, typed: unknown): void {
  const parent = path.slice(0, -1).reduce<unknown>(property, value)
  const key = path.at(-1)
  if (typeof parent === 'object' && parent !== null && key !== undefined) Reflect.set(parent, key, typed)
}

/** What the settings name and this machine does not have. */
function absences(settings: Settings): Issue[] {
  return [
    ...missingSources(settings),
    ...badLogFolders(settings),
    ...badSnapshotFolders(settings),
    ...missingPackagesOf(settings),
  ]
}

function missingSources({ models }: Settings): Issue[] {
  return models.flatMap(({ source }, i): Issue[] => {
    const isAbsent = !/^[A-Za-z][A-Za-z0-9+.-]+:\/\//.test(source) && !existsSync(source)
    const path = ['models', i, 'source']
    return isAbsent
      ? [{ path, at: 'value', message: 'there is no such file', fix: 'a path starts from this YAML' }]
      : []
  })
}

/** Folders of prediction logs: a log that cannot be written is a mistake to be seen before the first call. */
function badLogFolders({ routes }: Settings): Issue[] {
  return routes.flatMap(({ log }, i): Issue[] => {
    if (!log || isStoreUrl(log.to)) return []
    const wrong = whyNoFolder(log.to)
    return wrong ? [{ path: ['routes', i, 'log', 'to'], at: 'value', ...wrong }] : []
  })
}

function badSnapshotFolders({ cache }: Settings): Issue[] {
  return cache.tiers.flatMap((tier, i): Issue[] => {
    if (tier.type !== 'memory' || tier.snapshot === undefined) return []
    const path = ['cache', 'tiers', i, 'snapshot']
    if (existsSync(tier.snapshot) && !statSync(tier.snapshot).isFile())
      return [
        { path, at: 'value', message: 'this is no file', fix: 'name a file in a folder of the gateway' },
      ]
    const wrong = whyNoFolder(dirname(tier.snapshot))
    return wrong ? [{ path, at: 'value', message: `its folder: ${wrong.message}`, fix: wrong.fix }] : []
  })
}

function whyNoFolder(path: string): { message: string; fix: string } | undefined {
  if (!existsSync(path))
    return { message: 'there is no such folder', fix: 'make it; a path starts from this YAML' }
  if (!statSync(path).isDirectory())
    return { message: 'this is no folder', fix: 'name the folder for the files' }
  try {
    accessSync(path, constants.W_OK | constants.X_OK)
    return undefined
  } catch {
    return { message: 'the gateway may not write into this folder', fix: 'check its owner and permissions' }
  }
}

type FileContent =
  | { readonly text: string }
  | { readonly problem: { readonly message: string; readonly fix?: string } }

async function readText(file: string): Promise<FileContent> {
  try {
    const bytes = await readRegular(file, MAX_FILE_BYTES)
    if (bytes.includes(0)) return { problem: { message: 'this is a binary file', fix: 'name a YAML file' } }
    return { text: new TextDecoder('utf-8', { fatal: true }).decode(bytes) }
  } catch (error) {
    return { problem: whyUnreadable(error) }
  }
}

const UNREADABLE = {
  folder: { message: 'this is a folder', fix: 'name the YAML file in it' },
  irregular: { message: 'this is no regular file' },
  long: { message: 'the file is longer than 1 MiB' },
} as const

function whyUnreadable(error: unknown): { message: string; fix?: string } {
  if (error instanceof UnreadableError) return UNREADABLE[error.what]
  if (error instanceof TypeError) return { message: 'the file is not UTF-8' }
  const { code } = error as NodeJS.ErrnoException
  if (code === 'ENOENT' || code === 'ENOTDIR') return { message: 'there is no such file' }
  if (code === 'EACCES' || code === 'EPERM')
    return { message: 'the file may not be read', fix: 'check its permissions' }
  return { message: `the file cannot be read: ${code ?? String(error)}` }
}
