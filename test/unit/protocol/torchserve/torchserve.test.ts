/** TorchServe's paths, bodies, answers and errors, without a socket. */
import { describe, expect, it } from 'vitest'
import { Chunks } from '../../../../src/core/chunks.ts'
import { GatewayError } from '../../../../src/core/errors.ts'
import { runToEnd } from '../../../../src/lib/cooperative.ts'
import { torchserve, torchserveByPath } from '../../../../src/protocol/torchserve/torchserve.ts'
import { verdictOf } from '../../../../src/protocol/verdict.ts'
import { callOf, keyOf, readingOf, replyOf, SEED, textOf } from '../../../../src/testing/protocol-call.ts'

const predict = { verb: 'predict', model: 'm', prediction: true }
const forward = { verb: 'forward', prediction: false }

describe('a path', () => {
  it.each([
    ['POST', '/predictions/m', predict],
    ['QUERY', '/predictions/m', predict],
    ['POST', '/predictions/m/1.0', { ...predict, version: '1.0' }],
    ['POST', '/predictions/a%20b', { ...predict, model: 'a b' }],
    ['GET', '/predictions/m', { ...predict, prediction: false }],
    ['PUT', '/predictions/m', { ...predict, prediction: false }],
    ['POST', '/predictions/m/1.0/more/of/it', { ...predict, version: '1.0', prediction: false }],
    ['POST', '/predictions/m/1.0/', { ...predict, version: '1.0', prediction: false }],
    ['POST', '/explanations/m', { ...predict, verb: 'explain' }],
    ['POST', '/explanations/m/2', { ...predict, verb: 'explain', version: '2' }],
    ['POST', '/predictions/m/', forward],
    ['GET', '/ping', forward],
    ['OPTIONS', '/', forward],
    ['GET', '/api-description', forward],
    ['GET', '/models', forward],
    ['GET', '/models/m/all', forward],
    ['POST', '/models/m/invoke', forward],
    ['POST', '/invocations', forward],
    ['POST', '/workflows', { ...forward, manages: true }],
    ['POST', '/wfpredict/w', forward],
    ['POST', '/models', { verb: 'control', prediction: false, deploys: '', manages: true }],
    ['PUT', '/models/m', { verb: 'control', prediction: false, deploys: 'm', manages: true }],
    ['PUT', '/models/m/2.0/set-default', { verb: 'control', prediction: false, deploys: 'm', manages: true }],
    ['DELETE', '/models/m/2.0', { verb: 'control', prediction: false, deploys: 'm', manages: true }],
    ['POST', '/v1/models/m:predict', undefined],
    ['POST', '/v2/models/m/infer', undefined],
    ['POST', '/predictions/%ff', forward],
    ['POST', '/predictionsm', undefined],
    ['GET', '/pings', undefined],
  ])('%s %s', (method, path, target) => {
    expect(torchserve.match(method, path)).toEqual(target)
  })

  it('tells the dialect by itself only where no other server has it', () => {
    expect(torchserveByPath.match('POST', '/predictions/m/1.0')).toEqual({ ...predict, version: '1.0' })
    expect(torchserveByPath.match('POST', '/explanations/m')).toBeDefined()
    for (const path of ['/ping', '/models', '/models/m', '/', '/predictions'])
      for (const method of ['GET', 'POST', 'PUT', 'DELETE'])
        expect(torchserveByPath.match(method, path)).toBeUndefined()
  })
})

const JSON_TYPE = { headers: ['Content-Type', 'application/json'] }

describe('a body', () => {
  it('of JSON is what it says, and its numbers as they are written', () => {
    const key = keyOf(torchserve, '{"a": [1, 2], "b": "A"}', JSON_TYPE)
    expect(keyOf(torchserve, '{"b":"\\u0041","a":[1,2]}', JSON_TYPE)).toBe(key)
    expect(keyOf(torchserve, '{"b":"A","a":[1.0,2]}', JSON_TYPE)).not.toBe(key)
    expect(readingOf(torchserve, '{"a": 1, "a": 2}', JSON_TYPE)).toEqual({ bypass: 'duplicate-key' })
    expect(readingOf(torchserve, '{"inst', JSON_TYPE)).toHaveProperty('bypass')
  })

  it('of any other media type is its bytes and that type; none at all is another', () => {
    const types = [undefined, '', 'text/plain', 'image/png', 'Application/JSON', 'application/json']
    types.push('application/x-www-form-urlencoded')
    const keys = types.map((type) =>
      keyOf(torchserve, '{"a": 1}', type === undefined ? {} : { headers: ['content-type', type] }),
    )
    expect(new Set(keys).size).toBe(types.length)
    const png = { headers: ['content-type', 'image/png'] }
    expect(keyOf(torchserve, '{"a":1}', png)).not.toBe(keyOf(torchserve, '{"a": 1}', png))
  })

  it('has the query beside it, which TorchServe gives to the model', () => {
    expect(keyOf(torchserve, 'x', { query: '?a=1' })).not.toBe(keyOf(torchserve, 'x', { query: '?a=2' }))
  })

  it('that is encoded has no key', () => {
    const parts = { headers: ['content-encoding', 'gzip'] }
    expect(readingOf(torchserve, 'x', parts)).toEqual({ bypass: 'content-encoding' })
  })

  it.each(['application/json', 'image/png', 'multipart/form-data; boundary=b'])(
    'of %s has one key, however it is cut',
    (type) => {
      const body = type.startsWith('multipart') ? form('b') : Buffer.from('{"a": [1, 2],\n "b": {}}')
      const call = callOf(body, { headers: ['content-type', type] })
      const whole = torchserve.read(call, body, { seed: SEED, split: false })
      for (const size of [1, 2, 7, 64]) {
        const pieces: Buffer[] = []
        for (let i = 0; i < body.length; i += size) pieces.push(body.subarray(i, i + size))
        const steps = torchserve.readChunks(call, new Chunks(pieces), { seed: SEED, split: false })
        expect(runToEnd(steps)).toEqual(whole)
      }
    },
  )
})

/** As curl, browsers and Python's requests write one. */
function form(boundary: string): Buffer {
  return Buffer.from(
    [
      `--${boundary}`,
      'Content-Disposition: form-data; name="data"; filename="a.png"',
      'Content-Type: image/png',
      '',
      '\u0089PNG\r\n\u001a\n--not it\r\n',
      `--${boundary}`,
      'content-disposition: form-data; name="k"',
      '',
      '3',
      `--${boundary}--`,
      '',
    ].join('\r\n'),
    'latin1',
  )
}

const multipart = (boundary: string) => ({
  headers: ['content-type', `multipart/form-data; boundary=${boundary}`],
})

describe('a form', () => {
  it('is what its parts say: its boundary is not in the key', () => {
    const key = keyOf(torchserve, form('b'), multipart('b'))
    expect(key).not.toMatch(/^bypass/)
    expect(keyOf(torchserve, form('----WebKitFormBoundaryX'), multipart('----WebKitFormBoundaryX'))).toBe(key)
    expect(keyOf(torchserve, form("a b'c"), multipart(`"a b'c"`))).toBe(key)
    expect(keyOf(torchserve, form('b').subarray(0, -2), multipart('b'))).toBe(key)
  })

  const text = form('b').toString('latin1')
  it.each([
    ['bytes', text.replace('PNG', 'PNg')],
    ['file name', text.replace('a.png', 'b.png')],
    ['media type', text.replace('image/png', 'image/gif')],
    ['name', text.replace('name="k"', 'name="l"')],
    ['order', reordered()],
  ])('of another %s is another one', (_what, other) => {
    const key = keyOf(torchserve, Buffer.from(other, 'latin1'), multipart('b'))
    expect(key).not.toMatch(/^bypass/)
    expect(key).not.toBe(keyOf(torchserve, form('b'), multipart('b')))
  })

  it.each([
    ['without its end', text.replace('--b--', '')],
    ['with something in front', `\r\n${text}`],
    ['with something behind', `${text}more`],
    ['with bare line feeds', text.replaceAll('\r\n', '\n')],
    ['with a space behind a boundary', text.replace('--b\r\n', '--b \r\n')],
    ['with its boundary in a part', text.replace('--not it', '--b it')],
    ['without a name', text.replace(' name="k"', '')],
    ['of a part without a header', text.replace('content-disposition: form-data; name="k"\r\n', '')],
    [
      'of a part that says a field twice',
      text.replace('Content-Type:', 'content-disposition: form-data; name="k"\r\nx:'),
    ],
    ['with a folded line', text.replace('; filename', ';\r\n filename')],
    ['with parts in a part', text.replace('image/png', 'multipart/mixed; boundary=c')],
    ['of no part', '--b--\r\n'],
    ['of nothing', ''],
    [
      'of too many parts',
      `--b\r\ncontent-disposition: form-data; name="a"\r\n\r\n\r\n`.repeat(1025) + '--b--',
    ],
  ])('%s has no key', (_what, other) => {
    expect(readingOf(torchserve, Buffer.from(other, 'latin1'), multipart('b'))).toEqual({
      bypass: 'multipart',
    })
  })

  it.each([
    'multipart/form-data',
    'multipart/form-data; boundary=',
    'multipart/form-data; boundary=b; charset=utf-8',
    'multipart/form-data; charset=utf-8; boundary=b',
    'multipart/form-data; boundary="b',
    `multipart/form-data; boundary=${'b'.repeat(71)}`,
  ])('sent as %s has no key', (type) => {
    expect(readingOf(torchserve, form('b'), { headers: ['content-type', type] })).toEqual({
      bypass: 'multipart',
    })
  })

  function reordered(): string {
    const [, first = '', second = ''] = text.split('--b')
    return ['', second, first, '--\r\n'].join('--b')
  }
})

describe('an answer', () => {
  const reply = (status: number) => ({ ...replyOf('{}'), status })
  it.each([
    [200, 'ok', 'never'],
    [404, 'refused', 'never'],
    [429, 'overloaded', 'elsewhere'],
    [500, 'failed', 'once'],
    // A full job queue, and a model that failed on this very input.
    [503, 'overloaded', 'once'],
    [507, 'failed', 'once'],
  ])('of status %i means %s', (status, kind, retry) => {
    expect(verdictOf(torchserve, reply(status))).toMatchObject({ kind, retry, code: `status ${status}` })
  })

  it('in chunks is a stream, and one with its length is whole', () => {
    const chunked = replyOf('x', ['transfer-encoding', 'chunked'])
    const measured = replyOf('x', ['content-length', '1'])
    expect([torchserve.isStream?.(chunked), torchserve.isStream?.(measured)]).toEqual([true, false])
    const storable = (of: typeof chunked) => torchserve.storable?.(of, of.body, { whole: SEED }, true)
    expect([storable(chunked), storable(measured), storable(replyOf('x'))]).toEqual([false, true, false])
  })
})

describe('a fault', () => {
  it.each([
    ['unknownModel', 404, 'ModelNotFoundException'],
    ['unknownRoute', 404, 'ResourceNotFoundException'],
    ['badRequest', 400, 'BadRequestException'],
    ['overloaded', 503, 'ServiceUnavailableException'],
    ['backendReset', 502, 'InternalServerException'],
  ] as const)('%s is written as TorchServe would', (code, status, type) => {
    const reply = torchserve.fault(new GatewayError(code, 'why'))
    expect(reply.status).toBe(status)
    expect(textOf(reply)).toBe(`{\n  "code": ${status},\n  "type": "${type}",\n  "message": "why"\n}\n`)
  })
})
