import { describe, expect, it } from 'vitest'
import { tfserving } from '../../../../src/protocol/tfserving/tfserving.ts'
import { bytes, keyOf, planOf, readingOf, replyOf, textOf } from '../../../../src/testing/protocol-call.ts'

const examples = { target: { verb: 'classify', model: 'm', prediction: true } }

describe('V1 paths', () => {
  it.each([
    ['POST', '/v1/models/m:predict', { verb: 'predict', model: 'm', prediction: true }],
    ['QUERY', '/v1/models/m:predict', { verb: 'predict', model: 'm', prediction: true }],
    // KServe knows no such path: it is passed on, and nothing of it kept.
    ['POST', '/V1/Models/M:PREDICT', { verb: 'predict', model: 'M', prediction: false }],
    ['POST', '/v1/models/M:Predict', { verb: 'predict', model: 'M', prediction: false }],
    ['POST', '/v1/models/a%20b:classify', { verb: 'classify', model: 'a b', prediction: true }],
    [
      'POST',
      '/v1/models/m/versions/12:regress',
      { verb: 'regress', model: 'm', version: '12', prediction: true },
    ],
    [
      'POST',
      '/v1/models/m/labels/canary:predict',
      { verb: 'predict', model: 'm', version: 'labels/canary', prediction: true },
    ],
    ['POST', '/v1/models/m:explain', { verb: 'explain', model: 'm', prediction: true }],
    ['GET', '/v1/models/m', { verb: 'status', model: 'm', prediction: false }],
    ['GET', '/v1/models', { verb: 'status', prediction: false }],
    ['GET', '/v1/models/m/versions/1', { verb: 'status', model: 'm', version: '1', prediction: false }],
    [
      'GET',
      '/v1/models/m/versions/1/metadata',
      { verb: 'metadata', model: 'm', version: '1', prediction: false },
    ],
  ])('%s %s', (method, path, target) => {
    expect(tfserving.match(method, path)).toEqual(target)
  })

  it.each([
    ['POST', '/v1/models/m'],
    ['GET', '/v1/models/m:predict'],
    ['PUT', '/v1/models/m:predict'],
    ['POST', '/v1/models/m:predict/'],
    ['POST', '/v1/models/m:predictx'],
    ['POST', '/v1/models/:predict'],
    ['POST', '/v1/models/a/b:predict'],
    ['POST', '/v1/models/a:b:predict'],
    ['POST', '/v1/models/m/versions/x:predict'],
    ['POST', '/v1/models/m/versions/1/labels/x:predict'],
    ['POST', '/x/v1/models/m:predict'],
    ['POST', '/v2/models/m/infer'],
  ])('%s %s is not V1', (method, path) => {
    expect(tfserving.match(method, path)).toBeUndefined()
  })
})

describe('V1 rows', () => {
  it.each([
    ['instances', '{"instances":[[1],[2],[3]]}', ['[1]', '[2]', '[3]']],
    ['objects', '{"instances":[{"b64":"QQ=="},{"b64":"Qg=="}]}', ['{"b64":"QQ=="}', '{"b64":"Qg=="}']],
    ['a bare column', '{"inputs":[ 1.0 , NaN ]}', ['1.0', 'NaN']],
  ])('are the elements of %s, in the caller´s own lexemes', (_, body, wires) => {
    expect(planOf(tfserving, body).rows?.map((row) => Buffer.from(row.wire).toString())).toEqual(wires)
  })

  it.each([
    ['no instances', '{"signature_name":"s"}'],
    ['an empty list', '{"instances":[]}'],
    ['both layouts', '{"instances":[1],"inputs":[1]}'],
    ['instances that are no list', '{"instances":{"a":[1]}}'],
    ['ragged rows, which are refused upstream', '{"instances":[[1,2],[3]]}'],
    ['an empty row among others', '{"instances":[[1],[]]}'],
    ['columns of unequal length', '{"inputs":{"a":[1,2],"b":[1]}}'],
    ['a column that is no list', '{"inputs":{"a":[1,2],"b":7}}'],
    ['examples under predict', '{"examples":[{"x":1}]}'],
    ['a body that is no object', '[[1],[2]]'],
  ])('there are none in %s, and the whole has a key', (_, body) => {
    const plan = planOf(tfserving, body)
    expect(plan.rows).toBeUndefined()
    expect(plan.whole).toHaveLength(32)
  })

  it('are not looked for in a call for explanations', () => {
    const target = { verb: 'explain', model: 'm', prediction: true }
    expect(planOf(tfserving, '{"instances":[1,2]}', { target }).rows).toBeUndefined()
  })

  it('are examples under classify, with the context in the key of each', () => {
    const body = (context: number) => `{"context":{"c":${context}},"examples":[{"x":1},{"x":2}]}`
    const [one, two] = [planOf(tfserving, body(1), examples), planOf(tfserving, body(2), examples)]
    expect(one.rows).toHaveLength(2)
    expect(one.rows?.[0]?.digest).not.toBe(two.rows?.[0]?.digest)
  })

  it('of columns stay together, whatever the order of the columns', () => {
    const ab = planOf(tfserving, '{"inputs":{"a":[1,2],"b":["x","y"]}}')
    const ba = planOf(tfserving, '{"inputs":{"b":["y"],"a":[2]}}')
    expect(ba.rows?.[0]?.digest).toBe(ab.rows?.[1]?.digest)
    const body = bytes('{"inputs":{"b":["y"],"a":[2]}}')
    const joined = tfserving.rows?.join(ba, ab.rows ?? [], body)
    expect(textOf(replyOf(joined?.body ?? ''))).toBe('{"inputs":{"b":["x","y"],"a":[1,2]}}')
  })

  it('share a request only with rows of the same shape and the same common members', () => {
    const batch = (body: string) => planOf(tfserving, body).batch
    expect(batch('{"instances":[[1,2]]}')).toBe(batch('{"instances":[[3,4],[5,6]]}'))
    expect(batch('{"instances":[[1,2]]}')).not.toBe(batch('{"instances":[[1,2,3]]}'))
    expect(batch('{"instances":[[1,2]]}')).not.toBe(batch('{"signature_name":"s","instances":[[1,2]]}'))
    expect(batch('{"instances":[[1,2]]}')).not.toBe(batch('{"inputs":[[1,2]]}'))
  })

  it('are of one batch only where a server that makes one array of them reads all as it reads each', () => {
    const kind = (rows: string) => planOf(tfserving, `{"instances":${rows}}`).batch
    const columns = (a: string, b: string) => planOf(tfserving, `{"inputs":{"a":${a},"b":${b}}}`).batch
    const integers = kind('[[1],[2]]')
    expect(kind('[[3]]')).toBe(integers)
    const kinds = [
      '[[1.5],[2.5]]',
      '[[1],[2.5]]',
      '[[1],[null]]',
      '[[1],["a"]]',
      '[["a"],["b"]]',
      '[[1],[true]]',
      '[[true],[false]]',
      '[[1],["a"],[null]]',
      '[[1],[9223372036854775808]]',
      '[[{"a":1,"b":"x"}],[{"a":2,"b":"y"}]]',
      '[[{"a":1,"b":"x"}],[{"a":"x","b":1}]]',
      '[[{"a":1,"b":2.5}],[{"a":1.5,"b":2}]]',
    ].map(kind)
    expect(new Set([integers, ...kinds]).size).toBe(kinds.length + 1)
    expect(kind('[[1e3],[1]]')).toBe(kind('[[1],[2.5]]'))
    expect(kind('[["a"],[1]]')).toBe(kind('[[1],["a"],[2]]'))
    // An array of floats is one, however few of them are written as such.
    expect(kind('[[1,2.5],[-0.5,3]]')).toBe(kind('[[-Infinity,NaN]]'))
    expect(kind('[[1,2.5],[1.5,NaN]]')).toBe(kind('[[1.5,2.5]]'))
    expect(columns('[1,2]', '["a","b"]')).not.toBe(columns('[1,2]', '["a",1]'))
    expect(columns('[1,2]', '["a","b"]')).not.toBe(columns('["a","b"]', '[1,2]'))
    expect(columns('[1,2]', '["a","b"]')).toBe(columns('[3]', '["c"]'))
  })

  it('are not read of a batch in which they are of ever other types', () => {
    const row = (i: number) =>
      JSON.stringify(Object.fromEntries(Array.from('abcd', (key, at) => [key, (i >> at) & 1 ? 1 : 'x'])))
    const rows = (count: number) => Array.from({ length: count }, (_, i) => row(i)).join()
    expect(planOf(tfserving, `{"instances":[${rows(8)}]}`).rows).toHaveLength(8)
    expect(planOf(tfserving, `{"instances":[${rows(16)}]}`).rows).toBeUndefined()
  })

  it('go upstream between the bytes the caller wrote around them', () => {
    const body = bytes(
      '{ "signature_name":"s\\u0041",\n "instances" : [ 1.0, 2 ,3e0 ] , "x":9007199254740993}',
    )
    const plan = planOf(tfserving, body)
    const rows = plan.rows ?? []
    const joined = tfserving.rows?.join(plan, [rows[2], rows[0]] as typeof rows, body)
    expect(textOf(replyOf(joined?.body ?? ''))).toBe(
      '{ "signature_name":"s\\u0041",\n "instances" : [3e0,1.0] , "x":9007199254740993}',
    )
  })
})

describe('V1 answers', () => {
  const plan = planOf(tfserving, '{"instances":[1]}')
  const round = (text: string, count: number) => {
    const cut = tfserving.rows?.cut(replyOf(text), bytes(text), count)
    return cut && textOf(tfserving.rows?.assemble(plan, cut))
  }

  it.each([
    ['predictions', '{"predictions":[1.0,NaN,-Infinity]}', 3],
    ['pretty printed', '{\n    "predictions": [[1.0,2.50],[0.1,3e-7]]\n}', 2],
    ['results', '{"results":[[["a",0.5]],[["b",0.25]]]}', 2],
    ['a single output', '{"outputs":[[1.0],[2.0]]}', 2],
    ['named outputs', '{"outputs":{"a":[1.0,2.0],"b":["x","y"]}}', 2],
    ['other members', '{"a":1,"predictions":[{"p":1.0},{"p":2.0}],"model":"m"}', 2],
  ])('keep the server´s own bytes: %s', (_, text, count) => {
    expect(round(text, count)).toBe(text)
  })

  it.each([
    ['a count that differs', '{"predictions":[1,2]}', 3],
    ['rows of unequal shape', '{"predictions":[[1],[1,2]]}', 2],
    ['two lists', '{"predictions":[1],"outputs":[1]}', 1],
    ['an output without a batch', '{"outputs":{"a":[1,2],"loss":0.5}}', 2],
    ['named outputs of unequal length', '{"outputs":{"a":[1,2],"b":[1]}}', 2],
    ['duplicate names', '{"outputs":{"a":[1],"a":[2]}}', 1],
    ['predictions that are no list', '{"predictions":{"a":[1]}}', 1],
  ])('are not cut where they hold %s', (_, text, count) => {
    expect(round(text, count)).toBeUndefined()
  })

  it('do not mix rows whose values have another shape, or whose answers say something else', () => {
    const cut = (text: string) => tfserving.rows?.cut(replyOf(text), bytes(text), 1) ?? []
    const mixed = [...cut('{"predictions":[[1]]}'), ...cut('{"predictions":[[1,2]]}')]
    expect(tfserving.rows?.assemble(plan, mixed)).toBeUndefined()
    const versions = [...cut('{"predictions":[1],"v":1}'), ...cut('{"predictions":[1],"v":2}')]
    expect(tfserving.rows?.assemble(plan, versions)).toBeUndefined()
  })
})

describe('V1 keys', () => {
  it('count every member and the query', () => {
    const base = keyOf(tfserving, '{"instances":[1]}')
    expect(keyOf(tfserving, '{"instances":[1],"id":"x"}')).not.toBe(base)
    expect(keyOf(tfserving, '{"instances":[1]}', { query: '?a=1' })).not.toBe(base)
  })

  it('are not made for bodies in an encoding', () => {
    const headers = ['Content-Encoding', 'gzip']
    expect(readingOf(tfserving, '{"instances":[1]}', { headers })).toEqual({ bypass: 'content-encoding' })
  })
})
