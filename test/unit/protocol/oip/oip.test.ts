import { describe, expect, it } from 'vitest'
import { oip } from '../../../../src/protocol/oip/oip.ts'
import {
  binaryRequest,
  bytes,
  callOf,
  keyOf,
  planOf,
  readingOf,
  replyOf,
  textOf,
} from '../../../../src/testing/protocol-call.ts'

const input = (datatype: string, shape: number[], data: string, name = 'x') =>
  `{"name":"${name}","datatype":"${datatype}","shape":[${shape.join()}],"data":${data}}`
const request = (inputs: string, more = '') => `{"inputs":[${inputs}]${more}}`
const key = (inputs: string, more = '') => keyOf(oip, request(inputs, more))

function floats(...values: number[]): Buffer {
  const blob = Buffer.alloc(values.length * 4)
  for (const [i, value] of values.entries()) blob.writeFloatLE(value, i * 4)
  return blob
}

function binary(datatype: string, shape: number[], blob: Uint8Array, more: object = {}) {
  const parameters = { binary_data_size: blob.length }
  return binaryRequest({ inputs: [{ name: 'x', datatype, shape, parameters }], ...more }, [blob])
}

describe('V2 paths', () => {
  it.each([
    ['POST', '/v2/models/m/infer', { verb: 'infer', model: 'm', prediction: true }],
    ['QUERY', '/v2/models/m/infer', { verb: 'infer', model: 'm', prediction: true }],
    ['POST', '/v2/models/m/versions/3/infer', { verb: 'infer', model: 'm', version: '3', prediction: true }],
    ['POST', '/v2/models/m/generate', { verb: 'generate', model: 'm', prediction: false }],
    ['POST', '/v2/models/m/generate_stream', { verb: 'generate_stream', model: 'm', prediction: false }],
    ['GET', '/v2/models/m', { verb: 'metadata', model: 'm', prediction: false }],
    ['GET', '/v2/models/m/ready', { verb: 'ready', model: 'm', prediction: false }],
    ['GET', '/v2/models/m/versions/3/stats', { verb: 'stats', model: 'm', version: '3', prediction: false }],
    ['GET', '/v2', { verb: 'metadata', prediction: false }],
    ['GET', '/v2/health/live', { verb: 'health', prediction: false }],
    [
      'POST',
      '/v2/repository/models/m/load',
      { verb: 'control', prediction: false, deploys: 'm', manages: true },
    ],
    ['GET', '/v2/systemsharedmemory/region/r/status', { verb: 'control', prediction: false }],
  ])('%s %s', (method, path, target) => {
    expect(oip.match(method, path)).toEqual(target)
  })

  it.each([
    ['GET', '/v2/models/m/infer'],
    ['QUERY', '/v2/models/m/generate'],
    ['POST', '/v2/models/m'],
    ['POST', '/v2/models//infer'],
    ['POST', '/v2/models/m/infer/'],
    ['POST', '/v2/models/m/unknown'],
    ['POST', '/v1/models/m:predict'],
    ['DELETE', '/v2/models/m'],
  ])('%s %s is not V2', (method, path) => {
    expect(oip.match(method, path)).toBeUndefined()
  })
})

describe('V2 keys', () => {
  const base = key(input('FP32', [2, 2], '[1,2,3,4]'))

  it.each([
    ['another spelling of the same floats', request(input('FP32', [2, 2], '[1.0,2e0,0.3e1,4.00]'))],
    ['an id', request(input('FP32', [2, 2], '[1,2,3,4]'), ',"id":"a"')],
    [
      'the encoding of the answer',
      request(input('FP32', [2, 2], '[1,2,3,4]'), ',"parameters":{"binary_data_output":true}'),
    ],
  ])('do not change with %s', (_, body) => {
    expect(keyOf(oip, body)).toBe(base)
  })

  it('are shared by JSON and binary requests for the same tensors', () => {
    const { body, headers } = binary('FP32', [2, 2], floats(1, 2, 3, 4))
    expect(keyOf(oip, body, { headers })).toBe(base)
    const long = Buffer.alloc(8)
    long.writeBigInt64LE(-9007199254740993n)
    const longs = binary('INT64', [1], long)
    expect(keyOf(oip, longs.body, { headers: longs.headers })).toBe(
      key(input('INT64', [1], '[-9007199254740993]')),
    )
    const text = binary('BYTES', [1], Buffer.from([3, 0, 0, 0, 0x61, 0xc3, 0xa9]))
    expect(keyOf(oip, text.body, { headers: text.headers })).toBe(key(input('BYTES', [1], '["a\\u00e9"]')))
    const bools = binary('BOOL', [2], Buffer.from([1, 0]))
    expect(keyOf(oip, bools.body, { headers: bools.headers })).toBe(key(input('BOOL', [2], '[true,false]')))
  })

  it('do not depend on the order of members and parameters', () => {
    const [a, b] = [input('FP32', [1], '[1]', 'a'), input('FP32', [1], '[2]', 'b')]
    expect(key(`${a},${b}`, ',"outputs":[{"name":"p"},{"name":"q"}],"parameters":{"s":1,"t":2}')).toBe(
      key(`${a},${b}`, ',"parameters":{"t":2,"s":1},"outputs":[{"name":"p"},{"name":"q"}]'),
    )
  })

  it('depend on the order of inputs and outputs: of data frame columns, of `inputs[0]`, of `outputs[0]`', () => {
    const [a, b] = [input('FP32', [1], '[1]', 'a'), input('FP32', [1], '[2]', 'b')]
    expect(key(`${a},${b}`)).not.toBe(key(`${b},${a}`))
    const asked = (names: string) => key(a, `,"outputs":[${names}]`)
    expect(asked('{"name":"p"},{"name":"q"}')).not.toBe(asked('{"name":"q"},{"name":"p"}'))
    const binary = (names: string[]) =>
      binaryRequest(
        {
          inputs: names.map((name) => ({
            name,
            datatype: 'INT8',
            shape: [1],
            parameters: { binary_data_size: 1 },
          })),
        },
        [Buffer.from([1]), Buffer.from([1])],
      )
    const [one, other] = [binary(['a', 'b']), binary(['b', 'a'])]
    expect(keyOf(oip, one.body, one)).not.toBe(keyOf(oip, other.body, other))
    expect(planOf(oip, one.body, one).rows?.[0]?.digest).not.toBe(
      planOf(oip, other.body, other).rows?.[0]?.digest,
    )
  })

  it.each([
    ['FP32', '[1,2]', '[[1],[2]]'],
    ['BYTES', '["a","b"]', '[["a"],["b"]]'],
  ])(
    'depend on brackets around the rows of %s: a model of MLServer gets lists then',
    (type, flat, nested) => {
      const [one, other] = [flat, nested].map((data) => planOf(oip, request(input(type, [2, 1], data))))
      expect(one?.whole).not.toBe(other?.whole)
      expect(one?.rows?.map((row) => row.digest)).not.toEqual(other?.rows?.map((row) => row.digest))
      expect(one?.batch).not.toBe(other?.batch)
    },
  )

  it.each(['"priority":1', '"timeout":5', '"k":0'])(
    'depend on %s: a model may read any parameter',
    (given) => {
      expect(key(input('FP32', [2, 2], '[1,2,3,4]'), `,"parameters":{${given}}`)).not.toBe(base)
    },
  )

  it.each([
    ['a value out of range', input('INT8', [1], '[128]'), '"INT8"'],
    ['a value of another type', input('INT32', [1], '[1.0]'), '"INT32"'],
    ['a string among numbers', input('FP32', [1], '["1"]'), '"FP32"'],
    ['a float past FP32', input('FP32', [1], '[1e39]'), '"FP32"'],
    ['a NaN token', input('FP32', [1], '[NaN]'), '"FP32"'],
    ['an integer zero with a sign', input('FP32', [1], '[-0]'), '"FP32"'],
    ['data that does not fill the shape', input('FP32', [2, 2], '[1,2,3]'), '"FP32"'],
    ['nesting that is not the shape', input('FP32', [2, 2], '[[1,2,3],[4]]'), '"FP32"'],
    ['half nested data', input('FP32', [2, 1, 1], '[[1],[2]]'), '"FP32"'],
    ['FP16 in JSON', input('FP16', [1], '[1]'), '"FP16"'],
    ['an unknown datatype', input('FP8', [1], '[1]'), '"FP8"'],
    ['a null', input('BOOL', [1], '[null]'), '"BOOL"'],
  ])('keep %s as it is written, without rows', (_, given) => {
    const plan = planOf(oip, request(given))
    expect(plan.rows).toBeUndefined()
    const spaced = given.replace('"data":[', '"data": [ ')
    expect(keyOf(oip, request(spaced))).toBe(plan.whole)
  })

  it.each([
    ['sequence', request(input('FP32', [1], '[1]'), ',"parameters":{"sequence_id":7}')],
    ['sequence', request(input('FP32', [1], '[1]'), ',"parameters":{"sequence_id":"a"}')],
    ['sequence', request(input('FP32', [1], '[1]'), ',"parameters":{"sequence_start":true}')],
    ['reserved-parameter', request(input('FP32', [1], '[1]'), ',"parameters":{"triton_x":1}')],
    [
      'shared-memory',
      '{"inputs":[{"name":"x","datatype":"FP32","shape":[1],"parameters":{"shared_memory_region":"r"}}]}',
    ],
    [
      'shared-memory',
      request(
        input('FP32', [1], '[1]'),
        ',"outputs":[{"name":"y","parameters":{"shared_memory_region":"r"}}]',
      ),
    ],
    ['duplicate-input', request(`${input('FP32', [1], '[1]')},${input('FP32', [1], '[2]')}`)],
    [
      'ambiguous-encoding',
      request(
        input('FP32', [1], '[1]'),
        ',"outputs":[{"name":"y"},{"name":"z","parameters":{"binary_data":true}}],"parameters":{"binary_data_output":true}',
      ),
    ],
    ['duplicate-output', request(input('FP32', [1], '[1]'), ',"outputs":[{"name":"y"},{"name":"y"}]')],
    ['duplicate-key', '{"inputs":[],"inputs":[]}'],
    ['no-inputs', '{"inputs":[]}'],
    ['malformed-input', '{"inputs":[{"name":"x","datatype":"FP32","shape":[1]}]}'],
    ['malformed-shape', request(input('FP32', [-1], '[1]'))],
    ['bad-id', request(input('FP32', [1], '[1]'), ',"id":5')],
    ['unparsable', '[]'],
    ['trailing-bytes', `${request(input('FP32', [1], '[1]'))}x`],
  ])('are not made: %s', (bypass, body) => {
    expect(readingOf(oip, body)).toEqual({ bypass })
  })

  it('keep a sequence of none', () => {
    expect(planOf(oip, request(input('FP32', [1], '[1]'), ',"parameters":{"sequence_id":0}')).whole).toBe(
      key(input('FP32', [1], '[1]')),
    )
  })

  it.each([
    ['a length field past the body', '999', 4],
    ['a length field that is no number', '-1', 4],
    ['a blob that is too short', undefined, 3],
    ['bytes left over', undefined, 5],
  ])('are not made for %s', (_, length, size) => {
    const blob = Buffer.alloc(4)
    const { body, headers } = binary('FP32', [1], blob)
    const cut = Buffer.concat([body.subarray(0, -4), Buffer.alloc(size)])
    const given = length === undefined ? headers : ['inference-header-content-length', length]
    expect(readingOf(oip, cut, { headers: given })).toHaveProperty('bypass')
  })

  it('of a request of blobs alone cover its bytes', () => {
    const headers = ['Inference-Header-Content-Length', '0']
    expect(keyOf(oip, 'abc', { headers })).not.toBe(keyOf(oip, 'abd', { headers }))
    expect(planOf(oip, 'abc', { headers }).rows).toBeUndefined()
  })
})

describe('V2 rows', () => {
  const answerRows = (text: string, count: number) => oip.rows?.cut(replyOf(text), bytes(text), count)

  it('are the same in JSON and in binary, but do not share a request', () => {
    const json = planOf(oip, request(input('FP32', [2, 2], '[1,2,3,4]')))
    const { body, headers } = binary('FP32', [2, 2], floats(1, 2, 3, 4))
    const blob = planOf(oip, body, { headers })
    expect(blob.rows?.map((row) => row.digest)).toEqual(json.rows?.map((row) => row.digest))
    expect(blob.batch).not.toBe(json.batch)
  })

  it('go upstream as blobs where they came as blobs', () => {
    const { body, headers } = binary('INT8', [3, 1], Buffer.from('abc'))
    const plan = planOf(oip, body, { headers })
    const rows = plan.rows ?? []
    const joined = oip.rows?.join(plan, [rows[2], rows[0]] as typeof rows, body)
    const length = Number(joined?.headers[1])
    expect(joined?.headers[0]).toBe('inference-header-content-length')
    expect(Buffer.from(joined?.body.subarray(length) ?? '').toString()).toBe('ca')
    expect(JSON.parse(Buffer.from(joined?.body.subarray(0, length) ?? '').toString())).toEqual({
      inputs: [{ name: 'x', datatype: 'INT8', shape: [2, 1], parameters: { binary_data_size: 2 } }],
    })
  })

  it.each([
    ['scalars', input('FP32', [], '[1]')],
    ['empty tensors', input('FP32', [0, 2], '[]')],
    ['inputs that disagree', `${input('FP32', [2], '[1,2]', 'a')},${input('FP32', [1], '[1]', 'b')}`],
  ])('there are none in %s', (_, inputs) => {
    expect(planOf(oip, request(inputs)).rows).toBeUndefined()
  })

  it('of answers are not cut where an output has no batch', () => {
    const output = (shape: string) => `{"name":"y","datatype":"FP32","shape":${shape},"data":[1.0,2.0]}`
    expect(answerRows(`{"model_name":"m","outputs":[${output('[2]')}]}`, 2)).toHaveLength(2)
    for (const shape of ['[1,2]', '[]', '[3]', '[2,2]']) {
      expect(answerRows(`{"model_name":"m","outputs":[${output(shape)}]}`, 2)).toBeUndefined()
    }
  })

  it('of two versions of a model are not put together', () => {
    const answer = (version: number) =>
      `{"model_name":"m","model_version":"${version}","outputs":[{"name":"y","datatype":"FP32","shape":[1],"data":[1.0]}]}`
    const plan = planOf(oip, request(input('FP32', [2], '[1,2]')))
    const rows = (...versions: number[]) =>
      versions.flatMap((version) => answerRows(answer(version), 1) ?? [])
    expect(oip.rows?.assemble(plan, rows(1, 1))).toBeDefined()
    expect(oip.rows?.assemble(plan, rows(1, 2))).toBeUndefined()
  })

  it('from JSON and from binary answers make one answer in the encoding the caller wants', () => {
    const json =
      '{"model_name":"m","outputs":[{"name":"y","datatype":"FP32","shape":[1,1],"data":[0.10000000149011612]}]}'
    const blob = binaryRequest(
      {
        model_name: 'm',
        outputs: [{ name: 'y', datatype: 'FP32', shape: [1, 1], parameters: { binary_data_size: 4 } }],
      },
      [floats(2)],
    )
    const rows = [
      ...(answerRows(json, 1) ?? []),
      ...(oip.rows?.cut(replyOf(blob.body, blob.headers), blob.body, 1) ?? []),
    ]
    const body = request(input('FP32', [2, 1], '[1,2]'), ',"id":"z"')
    expect(textOf(oip.rows?.assemble(planOf(oip, body), rows))).toBe(
      '{"id":"z","model_name":"m","outputs":[{"name":"y","datatype":"FP32","shape":[2,1],"data":[0.10000000149011612,2.0]}]}',
    )
    const wish = request(input('FP32', [2, 1], '[1,2]'), ',"parameters":{"binary_data_output":true}')
    expect(textOf(oip.rows?.assemble(planOf(oip, wish), rows))).toContain(floats(0.1, 2).toString('latin1'))
  })
})

describe('V2 answers for their callers', () => {
  const answer =
    '{"id":"first","model_name":"m","outputs":[{"name":"y","datatype":"FP32","shape":[2],"data":[0.10,1.0]}]}'
  const asked = (more = '') => request(input('FP32', [1], '[1]'), more)
  const addressed = (body: string, reply = replyOf(answer)) =>
    oip.address(reply, callOf(bytes(body)), planOf(oip, body))

  it('are the server´s own bytes where id and encoding fit', () => {
    const reply = replyOf(answer)
    expect(addressed(asked(',"id":"first"'), reply)).toBe(reply)
  })

  it('carry the id of the caller, or none', () => {
    expect(textOf(addressed(asked(',"id":"two\\u0041"')))).toBe(answer.replace('first', 'two\\u0041'))
    expect(textOf(addressed(asked()))).toBe(answer.replace('"id":"first",', ''))
  })

  it('are found again from the call where there is no plan', () => {
    expect(oip.address(replyOf(answer), callOf(bytes(asked(',"id":"b"'))))).toHaveProperty('status', 200)
    expect(textOf(oip.address(replyOf(answer), callOf(bytes(asked(',"id":"b"')))))).toContain('"id":"b"')
  })

  it('change into blobs and back without a change of value', () => {
    const reply = addressed(asked(',"outputs":[{"name":"y","parameters":{"binary_data":true}}]'))
    const length = Number(reply?.headers[reply.headers.indexOf('inference-header-content-length') + 1])
    expect(textOf(reply).slice(length)).toBe(floats(0.1, 1).toString('latin1'))
    expect(reply?.headers).toContain('application/octet-stream')
    if (!reply) throw new Error('no reply')
    const back = JSON.parse(textOf(addressed(asked(), reply as ReturnType<typeof replyOf>)))
    expect(back.outputs[0].data).toEqual([Math.fround(0.1), 1])
  })

  it('have no form where JSON has none for their values', () => {
    const blob = floats(Number.NaN)
    const made = binaryRequest(
      {
        model_name: 'm',
        outputs: [{ name: 'y', datatype: 'FP32', shape: [1], parameters: { binary_data_size: 4 } }],
      },
      [blob],
    )
    expect(addressed(asked(), replyOf(made.body, made.headers))).toBeUndefined()
  })

  it('may be kept only when they are answers, with all outputs that were asked for', () => {
    const plan = planOf(oip, asked(',"outputs":[{"name":"y"}]'))
    const more = planOf(oip, asked(',"outputs":[{"name":"y"},{"name":"z"}]'))
    expect(oip.storable?.(replyOf(answer), bytes(answer), plan, true)).toBe(true)
    expect(oip.storable?.(replyOf(answer), bytes(answer), more, true)).toBe(false)
    for (const text of ['', '{}', '{"error":"x"}', '{"outputs":[{"name":"y"}]}', 'null']) {
      expect(oip.storable?.(replyOf(text), bytes(text), plan, true)).toBe(false)
    }
  })
})
