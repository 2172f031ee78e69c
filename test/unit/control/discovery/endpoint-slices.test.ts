/** EndpointSlices as the API server writes them, read as backends. */
import { describe, expect, it } from 'vitest'
import {
  backendsOf,
  type Endpoint,
  type EndpointPort,
  type EndpointSlice,
} from '../../../../src/control/discovery/endpoint-slices.ts'

const HTTP: EndpointPort = { name: 'http', port: 8000, protocol: 'TCP' }

function slice(name: string, endpoints: Endpoint[], ports: EndpointPort[] | null = [HTTP]): EndpointSlice {
  return { metadata: { name }, addressType: 'IPv4', endpoints, ports }
}

const pod = (address: string, conditions: Endpoint['conditions'] = { ready: true }, uid = '') => ({
  addresses: [address],
  ...(conditions ? { conditions } : {}),
  ...(uid ? { targetRef: { uid } } : {}),
})
const hosts = (slices: EndpointSlice[], port?: number | string) =>
  backendsOf(slices, port).map(({ url = '' }) => url.slice('http://'.length))

describe('an endpoint is taken', () => {
  it.each([
    ['ready', { ready: true, serving: true, terminating: false }, true],
    ['of unknown readiness, which is ready', { ready: null }, true],
    ['without conditions, which is ready', undefined, true],
    ['not ready', { ready: false, serving: false, terminating: false }, false],
    ['terminating and no longer serving', { ready: false, serving: false, terminating: true }, false],
  ])('when it is %s: %s', (_name, conditions, wanted) => {
    expect(hosts([slice('a', [pod('10.0.0.1', conditions)])])).toHaveLength(wanted ? 1 : 0)
  })

  it('while terminating only when no other is there', () => {
    const leaving = pod('10.0.0.1', { ready: false, serving: true, terminating: true })
    expect(hosts([slice('a', [leaving, pod('10.0.0.2')])])).toEqual(['10.0.0.2:8000'])
    expect(hosts([slice('a', [leaving])])).toEqual(['10.0.0.1:8000'])
  })
})

it('all slices count, and of two with the same endpoint the one that changed last', () => {
  const slices = [
    slice('old', [pod('10.0.0.1', { ready: true }, 'x'), pod('10.0.0.2')]),
    slice('new', [pod('10.0.0.1', { ready: true }, 'y'), pod('10.0.0.3')]),
  ]
  expect(hosts(slices).sort()).toEqual(['10.0.0.1:8000', '10.0.0.2:8000', '10.0.0.3:8000'])
  expect(backendsOf(slices, undefined).find(({ url = '' }) => url.includes('0.1'))?.instance).toBe('y')
})

it('the same address in the hands of another pod is another instance', () => {
  const of = (uid: string) =>
    backendsOf([slice('a', [pod('10.0.0.1', undefined, uid)])], undefined)[0]?.instance
  expect(of('x')).not.toBe(of('y'))
})

describe('the port is', () => {
  const ports: EndpointPort[] = [
    { name: 'dns', port: 53, protocol: 'UDP' },
    HTTP,
    { name: 'metrics', port: 8002 },
    { name: 'grpc', port: 8001 },
  ]
  it.each([
    ['the first of TCP', undefined, ['10.0.0.1:8000']],
    ['the one of the name', 'metrics', ['10.0.0.1:8002']],
    ['the number that was given', 9000, ['10.0.0.1:9000']],
    ['missing for a name that is not there', 'other', []],
  ])('%s', (_name, port, wanted) => {
    expect(hosts([slice('a', [pod('10.0.0.1')], ports)], port)).toEqual(wanted)
  })
})

describe('the address for gRPC is', () => {
  const addresses = (ports: EndpointPort[], port?: number | string) =>
    backendsOf([slice('a', [pod('10.0.0.1')], ports)], port).map(({ url, grpc }) => [url, grpc])
  const [url, grpc] = ['http://10.0.0.1:8000', 'http://10.0.0.1:8001']

  it.each<[string, EndpointPort]>([
    ['grpc', { name: 'grpc', port: 8001 }],
    ['a name that begins so', { name: 'grpc-inference', port: 8001 }],
    ['h2c', { name: 'h2c', port: 8001 }],
    ['the protocol of the application', { name: 'x', port: 8001, appProtocol: 'kubernetes.io/h2c' }],
  ])('that of the port which is named by %s, wherever it stands', (_, port) => {
    expect(addresses([HTTP, port])).toEqual([[url, grpc]])
    expect(addresses([port, HTTP])).toEqual([[url, grpc]])
    expect(addresses([HTTP, port], 8000)).toEqual([[url, grpc]])
  })

  it('the only one where the slice has no other, or the settings name it', () => {
    expect(addresses([{ name: 'grpc', port: 8001 }])).toEqual([[undefined, grpc]])
    expect(addresses([HTTP, { name: 'grpc', port: 8001 }], 'grpc')).toEqual([[undefined, grpc]])
    expect(addresses([HTTP, { name: 'grpc', port: 8001 }], 8001)).toEqual([[undefined, grpc]])
  })

  it('missing for other names', () => {
    expect(addresses([HTTP, { name: 'grpcx', port: 8001 }, { name: 'h2', port: 1 }])).toEqual([
      [url, undefined],
    ])
  })
})

it('IPv6 addresses are written as URLs want them', () => {
  const one = { ...slice('a', [pod('fd00::1')]), addressType: 'IPv6' }
  expect(backendsOf([one], undefined)[0]?.url).toBe('http://[fd00::1]:8000')
})

it('a slice without endpoints, without ports or with names is no error', () => {
  expect(backendsOf([{ metadata: { name: 'a' }, endpoints: null, ports: null }], undefined)).toEqual([])
  expect(hosts([slice('a', [pod('10.0.0.1')], null)])).toEqual([])
  expect(hosts([{ ...slice('a', [pod('example.com')]), addressType: 'FQDN' }])).toEqual([])
})
