/**
 * The ways in which caches in front of models have given a wrong answer, tried on our keys and answers. Each
 * test carries the number of its trap in the project's list.
 */
import { describe, expect, it } from 'vitest'
import { oip } from '../../../src/protocol/oip/oip.ts'
import { tfserving } from '../../../src/protocol/tfserving/tfserving.ts'
import {
  binaryRequest,
  bytes,
  keyOf,
  planOf,
  readingOf,
  replyOf,
  textOf,
} from '../../../src/testing/protocol-call.ts'

const tensor = (datatype: string, shape: number[], data: string, more = '') =>
  `{"inputs":[{"name":"x","datatype":"${datatype}","shape":[${shape.join()}],"data":${data}}]${more}}`
const base = tensor('INT32', [2, 3], '[1,2,3,4,5,6]')

describe('wrong hits', () => {
  it.each([
    ['tfserving', tfserving, '{"instances":[1],"unheard_of":1}', '{"instances":[1],"unheard_of":2}'],
    [
      'oip',
      oip,
      tensor('INT32', [1], '[1]', ',"unheard_of":1'),
      tensor('INT32', [1], '[1]', ',"unheard_of":2'),
    ],
    [
      'oip parameters',
      oip,
      tensor('INT32', [1], '[1]', ',"parameters":{"temperature":1}'),
      tensor('INT32', [1], '[1]', ',"parameters":{"temperature":1.5}'),
    ],
    [
      'oip input parameters',
      oip,
      tensor('INT32', [1], '[1],"parameters":{"content_type":"pd"}'),
      tensor('INT32', [1], '[1],"parameters":{"content_type":"np"}'),
    ],
    [
      'oip output parameters',
      oip,
      tensor('INT32', [1], '[1]', ',"outputs":[{"name":"y","parameters":{"classification":1}}]'),
      tensor('INT32', [1], '[1]', ',"outputs":[{"name":"y","parameters":{"classification":2}}]'),
    ],
  ])(
    'T1: a member nobody has heard of is in the key of the whole and of each row (%s)',
    (_, protocol, a, b) => {
      const [one, two] = [planOf(protocol, a), planOf(protocol, b)]
      expect(one.whole).not.toBe(two.whole)
      expect(one.rows?.[0]?.digest).not.toBe(two.rows?.[0]?.digest)
      expect(one.batch).not.toBe(two.batch)
    },
  )

  it('T2: shape and dtype are in the key', () => {
    const others = [
      tensor('INT32', [3, 2], '[1,2,3,4,5,6]'),
      tensor('INT32', [6], '[1,2,3,4,5,6]'),
      tensor('INT32', [1, 2, 3], '[1,2,3,4,5,6]'),
      tensor('UINT32', [2, 3], '[1,2,3,4,5,6]'),
      tensor('INT64', [2, 3], '[1,2,3,4,5,6]'),
    ]
    const keys = [base, ...others].map((body) => keyOf(oip, body))
    expect(new Set(keys).size).toBe(keys.length)
  })

  it('T2: the trailing shape and dtype are in the key of a row', () => {
    const row = (body: string) => planOf(oip, body).rows?.[0]?.digest
    const rows = [
      row(tensor('INT32', [1, 4], '[1,2,3,4]')),
      row(tensor('INT32', [1, 2, 2], '[1,2,3,4]')),
      row(tensor('UINT32', [1, 4], '[1,2,3,4]')),
      row(tensor('FP32', [1, 4], '[1,2,3,4]')),
    ]
    expect(new Set(rows).size).toBe(rows.length)
    expect(rows).not.toContain(undefined)
  })

  it('T2: the same bytes under another name or datatype are another key', () => {
    const blob = Buffer.from([0, 0, 128, 63])
    const make = (name: string, datatype: string) => {
      const made = binaryRequest(
        { inputs: [{ name, datatype, shape: [1], parameters: { binary_data_size: 4 } }] },
        [blob],
      )
      return keyOf(oip, made.body, { headers: made.headers })
    }
    expect(
      new Set([make('x', 'FP32'), make('x', 'INT32'), make('x', 'UINT32'), make('y', 'FP32')]).size,
    ).toBe(4)
  })

  it('T2: bytes that wander from one input to its neighbour change the key', () => {
    const two = (a: string[], b: string[]) =>
      JSON.stringify({
        inputs: [
          { name: 'a', datatype: 'BYTES', shape: [a.length], data: a },
          { name: 'b', datatype: 'BYTES', shape: [b.length], data: b },
        ],
      })
    const keys = [two(['p', 'q'], ['r', 's']), two(['pq', ''], ['r', 's']), two(['p', 'qr'], ['', 's'])]
    expect(new Set(keys.map((body) => keyOf(oip, body))).size).toBe(3)
    expect(new Set(keys.map((body) => planOf(oip, body).rows?.[0]?.digest)).size).toBe(3)
    expect(new Set(keys.map((body) => planOf(oip, body).rows?.[1]?.digest)).size).toBe(3)
  })

  it('T2: requested outputs are in the key, in their order', () => {
    const outputs = (names: string[]) => `,"outputs":[${names.map((name) => `{"name":"${name}"}`).join()}]`
    const keyed = (more: string) => keyOf(oip, tensor('INT32', [1], '[1]', more))
    const keys = [
      keyed(''),
      keyed(outputs([])),
      keyed(outputs(['a'])),
      keyed(outputs(['b'])),
      keyed(outputs(['a', 'b'])),
    ]
    expect(new Set(keys).size).toBe(5)
    expect(keyed(outputs(['b', 'a']))).not.toBe(keyed(outputs(['a', 'b'])))
  })

  it('T2: a member is not taken for a parameter of the same name', () => {
    expect(keyOf(oip, tensor('INT32', [1], '[1]', ',"parameters.a":1'))).not.toBe(
      keyOf(oip, tensor('INT32', [1], '[1]', ',"parameters":{"a":1}')),
    )
  })

  it('T2: separators inside strings do not make two rows one', () => {
    const row = (body: string) => planOf(tfserving, body).rows?.map((found) => found.digest)
    expect(row('{"inputs":{"a":["x\\",\\"y"],"b":["z"]}}')).not.toEqual(
      row('{"inputs":{"a":["x"],"b":["y\\",\\"z"]}}'),
    )
    expect(row('{"inputs":{"a":["1"],"b":["2"]}}')).not.toEqual(row('{"inputs":{"b":["1"],"a":["2"]}}'))
    expect(row('{"inputs":{"":[1]}}')).not.toEqual(row('{"inputs":[1]}'))
  })

  it('T3: an error under status 200 is not kept and not cut', () => {
    const text = '{"error":"out of memory"}'
    const plan = planOf(oip, base)
    expect(oip.storable?.(replyOf(text), bytes(text), plan, true)).toBe(false)
    expect(oip.rows?.cut(replyOf(text), bytes(text), 2)).toBeUndefined()
    expect(tfserving.rows?.cut(replyOf(text), bytes(text), 1)).toBeUndefined()
  })

  it('T4: an id is not in the key, and no answer carries a foreign one', () => {
    const [a, b] = [tensor('INT32', [1], '[1]', ',"id":"a"'), tensor('INT32', [1], '[1]', ',"id":"b"')]
    expect(keyOf(oip, a)).toBe(keyOf(oip, b))
    const answer =
      '{"id":"a","model_name":"m","outputs":[{"name":"y","datatype":"FP32","shape":[1],"data":[1.0]}]}'
    const cut = oip.rows?.cut(replyOf(answer), bytes(answer), 1) ?? []
    expect(JSON.parse(textOf(oip.rows?.assemble(planOf(oip, b), cut)))).toHaveProperty('id', 'b')
    const none = JSON.parse(textOf(oip.rows?.assemble(planOf(oip, tensor('INT32', [1], '[1]')), cut)))
    expect(none).not.toHaveProperty('id')
  })

  it('T9: two int64 ids that share a double have two keys', () => {
    const ids = ['9007199254740992', '9007199254740993', '-9007199254740993', '18446744073709551615']
    expect(new Set(ids.map((id) => keyOf(tfserving, `{"instances":[${id}]}`))).size).toBe(4)
    expect(new Set(ids.slice(0, 3).map((id) => keyOf(oip, tensor('INT64', [1], `[${id}]`)))).size).toBe(3)
    const unsigned = ['18446744073709551615', '18446744073709551614', '9223372036854775808']
    expect(new Set(unsigned.map((id) => keyOf(oip, tensor('UINT64', [1], `[${id}]`)))).size).toBe(3)
  })

  it('T9: an int64 goes upstream and comes back digit by digit', () => {
    const body = bytes('{"instances":[9007199254740993,1]}')
    const plan = planOf(tfserving, body)
    const joined = tfserving.rows?.join(plan, (plan.rows ?? []).slice(0, 1), body)
    expect(textOf(replyOf(joined?.body ?? ''))).toBe('{"instances":[9007199254740993]}')
    const answer = '{"predictions":[9007199254740993]}'
    const cut = tfserving.rows?.cut(replyOf(answer), bytes(answer), 1) ?? []
    expect(textOf(tfserving.rows?.assemble(plan, cut))).toBe(answer)
  })

  it('T9: without a signature `1` and `1.0` are two requests; in an FP32 tensor they are one', () => {
    expect(keyOf(tfserving, '{"instances":[1]}')).not.toBe(keyOf(tfserving, '{"instances":[1.0]}'))
    expect(keyOf(oip, tensor('FP32', [1], '[1]'))).toBe(keyOf(oip, tensor('FP32', [1], '[1.0]')))
    expect(keyOf(oip, tensor('FP64', [1], '[0.1]'))).not.toBe(
      keyOf(oip, tensor('FP64', [1], '[0.10000000149011612]')),
    )
  })

  it('T10: the order of members never leaks into a key', () => {
    expect(keyOf(tfserving, '{"a":{"y":1,"x":2},"instances":[{"q":1,"p":2}]}')).toBe(
      keyOf(tfserving, '{"instances":[{"p":2,"q":1}],"a":{"x":2,"y":1}}'),
    )
  })

  it('T12: equal rows keep their places, and each answer stands where its row stood', () => {
    const plan = planOf(tfserving, '{"instances":["b","a","b"]}')
    const digests = plan.rows?.map((row) => row.digest) ?? []
    expect(digests[0]).toBe(digests[2])
    expect(digests[0]).not.toBe(digests[1])
    const answer = '{"predictions":[1.0,2.0]}'
    const cut = tfserving.rows?.cut(replyOf(answer), bytes(answer), 2) ?? []
    const merged = tfserving.rows?.assemble(plan, [cut[1], cut[0], cut[1]] as typeof cut)
    expect(textOf(merged)).toBe('{"predictions":[2.0,1.0,2.0]}')
  })

  it('T12: an answer with another number of rows is not cut', () => {
    for (const count of [1, 3]) {
      expect(
        tfserving.rows?.cut(replyOf('{"predictions":[1,2]}'), bytes('{"predictions":[1,2]}'), count),
      ).toBeUndefined()
    }
  })

  it('T13: rows whose answers have unequal shapes are not put together', () => {
    const cut = (data: string, shape: number[]) => {
      const text = `{"model_name":"m","outputs":[{"name":"y","datatype":"FP32","shape":[${shape.join()}],"data":${data}}]}`
      return oip.rows?.cut(replyOf(text), bytes(text), 1) ?? []
    }
    const plan = planOf(oip, tensor('INT32', [2], '[1,2]'))
    expect(oip.rows?.assemble(plan, [...cut('[1,2]', [1, 2]), ...cut('[1,2,3]', [1, 3])])).toBeUndefined()
    expect(oip.rows?.assemble(plan, [...cut('[1,2]', [1, 2]), ...cut('[3,4]', [1, 2])])).toBeDefined()
  })

  it.each([
    ['duplicate keys, of which servers take the first or the last', '{"instances":[1],"instances":[2]}'],
    ['duplicate keys inside a row', '{"instances":[{"a":1,"a":2}]}'],
    ['half of a surrogate pair', '{"instances":["\\ud800"]}'],
    ['bytes behind the body', '{"instances":[1]}{"instances":[2]}'],
  ])('what servers read differently is bypassed: %s', (_, body) => {
    expect(readingOf(tfserving, body)).toHaveProperty('bypass')
  })
})
