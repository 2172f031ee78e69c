/**
 * Keys of generations against a reference that is made of what a body means, and not of its bytes: two bodies that differ in
 * anything that may change the answer never share a key; two that differ only in spelling, in the order of members or in what
 * concerns delivery always do.
 */
import { expect, it } from 'vitest'
import { type Digest, digestOf } from '../../src/core/key.ts'
import { createRandom, type Random } from '../../src/lib/seeded-random.ts'
import { readGeneration } from '../../src/protocol/openai/generation/request.ts'

const seconds = Number(process.env['INFERGATE_FUZZ_SECONDS'] ?? 3)
/** With it, the test goes on until it has read so many bodies. */
const atLeast = Number(process.env['INFERGATE_FUZZ_BODIES'] ?? 0)
const SEED = digestOf('seed')

/** A JSON value whose numbers are as they are written. */
type Value = string | boolean | null | Lexeme | readonly Value[] | ReadonlyMap<string, Value>
interface Lexeme {
  readonly number: string
}

const number = (lexeme: string): Lexeme => ({ number: lexeme })
const object = (members: Record<string, Value>) => new Map(Object.entries(members))

const TEXTS = ['', 'a', 'b', 'ab', '"', '\\', '/', 'é', '😀', '\n', '\u0001', 'null', '0', '"},{"', 'data:,a']
const PARTS: readonly Value[] = [
  'a',
  'b',
  null,
  [object({ type: 'text', text: 'a' })],
  [object({ type: 'text', text: 'a' }), object({ type: 'text', text: 'b' })],
  [object({ type: 'image_url', image_url: object({ url: 'data:image/png;base64,AA==' }) })],
  [object({ type: 'image_url', image_url: object({ url: 'data:image/png;base64,AB==' }) })],
]
const FUNCTION = (name: string) => object({ type: 'function', function: object({ name }) })

/** Members with values that a body may have; each body has some of them. */
const MEMBERS: Readonly<Record<string, readonly Value[]>> = {
  model: ['m', 'n'],
  max_tokens: [number('1'), number('10'), null],
  max_completion_tokens: [number('1'), number('10')],
  n: [number('1'), number('2')],
  seed: [number('1'), number('1.0'), number('9007199254740993'), number('9007199254740992')],
  top_p: [number('1'), number('1.0'), number('0.5'), number('5e-1'), number('0.50'), null],
  presence_penalty: [number('0'), number('-0.0'), number('0.1')],
  stop: ['a', ['a'], ['a', 'b'], ['b', 'a'], [], null],
  tools: [[FUNCTION('f')], [FUNCTION('g')], [FUNCTION('f'), FUNCTION('g')], []],
  tool_choice: ['auto', 'none'],
  response_format: [object({ type: 'text' }), object({ type: 'json_object' })],
  logit_bias: [object({ 1: number('1'), 2: number('1') }), object({ 1: number('1'), 2: number('2') })],
  cache_salt: ['a', 'b'],
  chat_template_kwargs: [object({ a: true, b: false }), object({ a: false, b: true })],
  somethingNew: [true, 'true', number('1'), '1', [number('1')], null],
  store: [false],
  user: ['a', 'b'],
  metadata: [object({ a: 'b' }), object({})],
  safety_identifier: ['a'],
  service_tier: ['auto', 'flex'],
  priority: [number('1')],
  request_id: ['a', 'b'],
  prompt_cache_key: ['a'],
  prompt_cache_retention: ['24h'],
  stream: [true, false, null],
  stream_options: [
    null,
    object({}),
    object({ include_usage: true }),
    object({ include_usage: false }),
    object({ include_obfuscation: false }),
    object({ include_usage: true, include_obfuscation: false }),
    object({ include_obfuscation: true, continuous_usage_stats: false }),
  ],
}
const DELIVERED = [
  'user',
  'safety_identifier',
  'metadata',
  'stream',
  'prompt_cache_key',
  'prompt_cache_retention',
  'service_tier',
  'priority',
  'request_id',
]
const DOUBLES = ['temperature', 'top_p', 'presence_penalty']

function pick<T>(random: Random, from: readonly T[]): T {
  return from[Math.floor(random() * from.length)] as T
}

function randomBody(random: Random): ReadonlyMap<string, Value> {
  const body = new Map<string, Value>()
  // Few members each, so that many bodies are equal or almost equal.
  for (let i = Math.floor(random() * 4); i > 0; i--) {
    const key = pick(random, Object.keys(MEMBERS))
    body.set(key, pick(random, MEMBERS[key] as readonly Value[]))
  }
  body.set('temperature', number(pick(random, ['0', '0.0', '-0', '0e1'])))
  body.set('messages', randomMessages(random))
  return body
}

function randomMessages(random: Random): Value {
  const text = () => (random() < 0.5 ? pick(random, PARTS) : pick(random, TEXTS))
  const message = () => object({ role: pick(random, ['user', 'system']), content: text() })
  return random() < 0.8 ? [message()] : [message(), message()]
}

/** What a body asks for, in one spelling: made of its meaning, by the text of the specification. */
function reference(body: ReadonlyMap<string, Value>): Digest {
  const asked = new Map(body)
  for (const key of DELIVERED) asked.delete(key)
  const options = asked.get('stream_options')
  asked.delete('stream_options')
  if (options instanceof Map) {
    const others = new Map(options as ReadonlyMap<string, Value>)
    others.delete('include_usage')
    if (others.size > 0) asked.set('stream_options', others)
  }
  for (const key of DOUBLES) {
    const value = asked.get(key)
    if (isLexeme(value)) asked.set(key, number(`${Number.parseFloat(value.number) + 0}`))
  }
  return digestOf(JSON.stringify(ordered(asked)))
}

function isLexeme(value: Value | undefined): value is Lexeme {
  return typeof value === 'object' && value !== null && 'number' in value
}

/** A list that says of which kind each value is, with members in order. */
function ordered(value: Value): unknown {
  if (value === null || typeof value === 'boolean') return value
  if (typeof value === 'string') return ['text', value]
  if (isLexeme(value)) return ['number', value.number]
  if (value instanceof Map) {
    const members = [...(value as ReadonlyMap<string, Value>)].map(([key, one]) => [key, ordered(one)])
    return ['object', members.sort(([a], [b]) => ((a as string) < (b as string) ? -1 : 1))]
  }
  return ['array', (value as readonly Value[]).map(ordered)]
}

/** One of the ways in which a value may be written. */
function spelled(value: Value, random: Random): string {
  const space = () => (random() < 0.15 ? pick(random, [' ', '\n', '\t', '  ']) : '')
  if (value === null || typeof value === 'boolean') return String(value)
  if (typeof value === 'string') return spelledText(value, random)
  if (isLexeme(value)) return value.number
  if (value instanceof Map) {
    const members = [...(value as ReadonlyMap<string, Value>)]
    if (random() < 0.7) members.sort(() => random() - 0.5)
    const texts = members.map(
      ([key, one]) => `${space()}${spelledText(key, random)}${space()}:${space()}${spelled(one, random)}`,
    )
    return `{${texts.join(',')}${space()}}`
  }
  return `[${(value as readonly Value[]).map((one) => space() + spelled(one, random)).join(',')}${space()}]`
}

function spelledText(text: string, random: Random): string {
  let out = ''
  for (const character of text) {
    const isEscaped = random() < 0.1 && character !== ':' && !text.startsWith('data:')
    if (!isEscaped) out += JSON.stringify(character).slice(1, -1)
    else
      for (let i = 0; i < character.length; i++) {
        const hex = character.charCodeAt(i).toString(16).padStart(4, '0')
        out += `\\u${random() < 0.5 ? hex : hex.toUpperCase()}`
      }
  }
  return `"${out}"`
}

function keyOf(text: string): Digest {
  const reading = readGeneration('chat', Buffer.from(text), { seed: SEED })
  if ('bypass' in reading) throw new Error(`${reading.bypass}: ${text}`)
  return reading.whole
}

it('K1: bodies share a key exactly where they ask for the same', {
  timeout: seconds * 1000 + atLeast / 2 + 60_000,
}, () => {
  const random = createRandom(Number(process.env['INFERGATE_FUZZ_SEED'] ?? Date.now()), 'bodies')
  const keys = new Map<Digest, Digest>()
  const references = new Map<Digest, Digest>()
  const until = Date.now() + seconds * 1000
  let read = 0
  while (atLeast > 0 ? read < atLeast : Date.now() < until) {
    const body = randomBody(random)
    const asked = reference(body)
    for (let i = 0; i < 2; i++) {
      const text = spelled(body, random)
      const key = keyOf(text)
      read++
      if (keys.get(asked) === undefined) keys.set(asked, key)
      if (references.get(key) === undefined) references.set(key, asked)
      if (keys.get(asked) !== key || references.get(key) !== asked) expect.fail(`another key: ${text}`)
    }
  }
  // As many bodies ask for what another one asked for as not, or the test would show nothing.
  expect(keys.size).toBeLessThan(read / 2)
  expect(keys.size).toBe(references.size)
})
