/**
 * Error messages for wrong values, for the person who wrote the YAML. No message repeats a value, which may be a secret
 * in the wrong place; the position identifies it.
 */
import * as z from 'zod'
import { nearest } from '../lib/nearest.ts'
import { findMisplaced } from './misplaced-key.ts'
import { core, fieldsOf, kindOf, type Path, type Schema, schemaAt, valueAt } from './walk.ts'

export interface Issue {
  readonly path: Path
  readonly message: string
  /** What to do about it, in a few words. */
  readonly fix?: string
  /** Whether the position is that of the key or of the value. */
  readonly at: 'key' | 'value'
}

/** All faults that zod found in `input`, one issue each. */
export function issuesOf(schema: Schema, input: unknown, found: readonly z.core.$ZodIssue[]): Issue[] {
  return found.flatMap((issue) => translate(schema, input, issue))
}

/** `did you mean "x"?`, or nothing where no known word is near. */
export function suggest(word: unknown, known: Iterable<string>): { fix?: string } {
  const guess = typeof word === 'string' ? nearest(word, known) : undefined
  return guess === undefined ? {} : { fix: `did you mean ${JSON.stringify(guess)}?` }
}

function translate(schema: Schema, input: unknown, issue: z.core.$ZodIssue): Issue[] {
  if (issue.code === 'unrecognized_keys')
    return issue.keys.map((key) => unknownKey(schema, input, issue.path, key))
  const value = valueAt(input, issue.path)
  if (value === undefined) return [required(schema, input, issue)]
  const at = issue.code === 'invalid_key' ? 'key' : 'value'
  const field = schemaAt(schema, issue.path, input)
  const form = issue.code === 'invalid_type' && field ? FORMS[kindOf(field)?.kind ?? ''] : undefined
  const fix = form === undefined ? keysFix(issue, field, value) : { fix: `such as ${form}` }
  return [{ path: issue.path, at, ...explain(issue, value), ...fix }]
}

/** Forms of texts, by kind, for which people write a bare number: quotes alone would not mend it. */
const FORMS: Readonly<Record<string, string>> = {
  address: '0.0.0.0:8080',
  rate: '100/s',
  quota: '10M/d',
  share: '10%',
}

function unknownKey(schema: Schema, input: unknown, path: Path, key: string): Issue {
  const here = schemaAt(schema, path, input)
  const known = Object.keys((here && fieldsOf(here, valueAt(input, path))) ?? {})
  const { below, above } = findMisplaced(schema, { input, path, key })
  const fix = below ?? suggest(key, known).fix ?? above ?? `known keys: ${known.join(', ')}`
  return { path: [...path, key], message: `unknown key ${JSON.stringify(key)}`, fix, at: 'key' }
}

/** Of keys without a value: those of fields stand for their defaults, and any other is a mistake. */
export function emptyIssues(schema: Schema, input: unknown, empty: readonly Path[]): Issue[] {
  return empty.flatMap((path) => {
    const [around, key] = [path.slice(0, -1), String(path.at(-1))]
    const here = schemaAt(schema, around, input)
    const fields = here && fieldsOf(here, valueAt(input, around))
    if (fields) return Object.hasOwn(fields, key) ? [] : [unknownKey(schema, input, around, key)]
    const isNamed = here && core(here) instanceof z.ZodRecord
    return isNamed
      ? [{ path, at: 'key', message: 'has no value', fix: 'write one, or leave the key out' }]
      : []
  })
}

function required(schema: Schema, input: unknown, issue: z.core.$ZodIssue): Issue {
  const parent = schemaAt(schema, issue.path.slice(0, -1), input)
  const field = schemaAt(schema, issue.path, input) as z.ZodType | undefined
  const isChoice = issue.code === 'invalid_union' && 'options' in issue && Array.isArray(issue.options)
  const hint = isChoice ? `one of ${(issue.options as unknown[]).join(', ')}` : field?.description
  const message = parent ? 'is required' : 'is missing'
  return { path: issue.path, message, at: 'value', ...(hint ? { fix: hint.replace(/\.$/, '') } : {}) }
}

function explain(issue: z.core.$ZodIssue, value: unknown): { message: string; fix?: string } {
  switch (issue.code) {
    case 'invalid_type':
      return {
        message: `expected ${NOUNS[issue.expected] ?? issue.expected}, got ${nounOf(value)}`,
        ...retyped(issue.expected, value),
      }
    case 'too_small':
      return { message: tooSmall(issue) }
    case 'too_big':
      return { message: tooBig(issue) }
    case 'invalid_value':
      return { message: `expected ${oneOf(issue.values)}`, ...suggestPart(value, issue.values.map(String)) }
    case 'invalid_union':
      return unionMessage(issue, value)
    case 'invalid_key':
      return { message: issue.issues[0]?.message ?? issue.message }
    default:
      return { message: issue.message }
  }
}

function unionMessage(
  issue: z.core.$ZodIssueInvalidUnion,
  value: unknown,
): { message: string; fix?: string } {
  const options = 'options' in issue && Array.isArray(issue.options) ? issue.options.map(String) : undefined
  if (!options) return { message: issue.message }
  return { message: `expected ${oneOf(options)}`, ...suggestPart(value, options) }
}

/** As `suggest`, for a word that may also be the name of a custom part. */
function suggestPart(word: unknown, known: readonly string[]): { fix?: string } {
  const found = suggest(word, known)
  const isOwn = found.fix === undefined && typeof word === 'string' && word.startsWith('x-')
  return isOwn ? { fix: 'a part of your own is known where --parts names its module' } : found
}

function tooSmall({ origin, minimum }: z.core.$ZodIssueTooSmall): string {
  if (origin === 'string') return 'must not be empty'
  if (origin === 'array') return `needs at least ${minimum === 1 ? 'one entry' : `${minimum} entries`}`
  return `must be at least ${minimum}`
}

function tooBig({ origin, maximum }: z.core.$ZodIssueTooBig): string {
  if (origin === 'string') return `must have at most ${maximum} characters`
  return origin === 'array' ? `has room for ${maximum} entries` : `must be at most ${maximum}`
}

function oneOf(words: readonly unknown[]): string {
  return words.length === 1 ? String(words[0]) : `one of ${words.join(', ')}`
}

/** For a value in place of a mapping, such as `health: /healthz`: shows the keys that the mapping may have. */
function keysFix(issue: z.core.$ZodIssue, field: Schema | undefined, value: unknown): { fix?: string } {
  if (issue.code !== 'invalid_type' || issue.expected !== 'object' || Array.isArray(value)) return {}
  const keys = Object.keys((field && fieldsOf(field, undefined)) ?? {})
  if (keys.length === 0) return {}
  const switched = switchedFix(field as z.ZodType, issue.path.at(-1), value)
  if (switched) return { fix: switched }
  return { fix: `such as { ${keys.slice(0, MAX_KEYS).join(': …, ')}: … }` }
}

const MAX_KEYS = 4

/** For a boolean in place of a mapping, such as `cache: yes`. */
function switchedFix(field: z.ZodType, key: PropertyKey | undefined, value: unknown): string | undefined {
  if (ON.test(String(value)) && field.safeParse({}).success)
    return `write ${String(key)}: {} for the defaults`
  return OFF.test(String(value)) && field instanceof z.ZodExactOptional ? 'leave it out' : undefined
}

const ON = /^(?:y|yes|on|true)$/i
const OFF = /^(?:n|no|off|false)$/i

/** The same value, written so that YAML reads it as the expected type. */
function retyped(expected: string, value: unknown): { fix?: string } {
  const isPlain = typeof value === 'number' || typeof value === 'boolean'
  if (expected === 'string' && isPlain) return { fix: 'put it in quotes' }
  if (expected === 'boolean' && typeof value === 'string') {
    if (ON.test(value)) return { fix: 'write true' }
    if (OFF.test(value)) return { fix: 'write false' }
  }
  const isNumeric = typeof value === 'string' && /^-?\d+(?:\.\d+)?$/.test(value)
  if ((expected === 'number' || expected === 'int') && isNumeric) return { fix: 'leave out the quotes' }
  if (expected === 'array') return { fix: 'put "- " before each entry, or [ ] around them' }
  if ((expected === 'object' || expected === 'record') && Array.isArray(value))
    return { fix: 'write "key: value" lines, without "- "' }
  return {}
}

const NOUNS: Readonly<Record<string, string>> = {
  string: 'a text',
  number: 'a number',
  int: 'a whole number',
  boolean: 'true or false',
  array: 'a list',
  object: 'a mapping',
  record: 'a mapping',
}

function nounOf(value: unknown): string {
  if (value === null) return 'nothing'
  if (Array.isArray(value)) return 'a list'
  return NOUNS[typeof value] ?? 'something else'
}
