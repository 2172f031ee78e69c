import { describe, expect, it } from 'vitest'
import { takeReport, withLoadWish } from '../../../../src/data/http/orca.ts'

const OTHERS = ['content-type', 'application/json', 'X-A', '1']
const load = (name: string, value: string) => takeReport([...OTHERS, name, value]).load

/** `xds.data.orca.v3.OrcaLoadReport`, written by hand: tag, length and value of each field. */
function message(cpu: number, named: Readonly<Record<string, number>>, application?: number): string {
  const double = (tag: number, value: number) => {
    const bytes = Buffer.alloc(9)
    bytes[0] = tag
    bytes.writeDoubleLE(value, 1)
    return bytes
  }
  const entries = Object.entries(named).map(([name, value]) => {
    const entry = Buffer.concat([Buffer.from([0x0a, name.length]), Buffer.from(name), double(0x11, value)])
    return Buffer.concat([Buffer.from([0x42, entry.length]), entry])
  })
  const all = [
    double(0x09, cpu),
    ...entries,
    ...(application === undefined ? [] : [double(0x49, application)]),
  ]
  return Buffer.concat(all).toString('base64')
}

describe('a report on an answer', () => {
  it.each([
    ['text', 'TEXT named_metrics.kv_cache_usage_perc=0.4, named_metrics.num_requests_waiting=3'],
    ['JSON', 'JSON {"named_metrics": {"kv_cache_usage_perc": 0.4, "num_requests_waiting": 3}}'],
    [
      'JSON alone',
      '{"cpu_utilization":0.9,"named_metrics":{"kv_cache_usage_perc":0.4,"num_requests_waiting":3}}',
    ],
    ['binary', `BIN ${message(0.9, { kv_cache_usage_perc: 0.4, num_requests_waiting: 3 })}`],
  ])('is read as %s', (_, value) => {
    expect(load('Endpoint-Load-Metrics', value)).toEqual({ waiting: 3, utilization: 0.4 })
  })

  it('is read from the field of the protobuf message', () => {
    const value = message(0.2, { num_requests_running: 5 }, 0.7)
    expect(load('endpoint-load-metrics-bin', value)).toEqual({ running: 5, utilization: 0.7 })
    expect(load('endpoint-load-metrics-bin', message(0.25, {}))).toEqual({ utilization: 0.25 })
  })

  it.each([
    ['an empty value', 'TEXT named_metrics.num_requests_waiting='],
    ['a word', 'TEXT named_metrics.num_requests_waiting=few'],
    ['a negative number', 'TEXT named_metrics.num_requests_waiting=-1'],
    ['no JSON', 'JSON {"named_metrics":'],
    ['a number as a string', 'JSON {"named_metrics":{"num_requests_waiting":"3"}}'],
    ['no message', 'BIN //8='],
    ['a very long one', `TEXT ${'a=1,'.repeat(4_000)}named_metrics.num_requests_waiting=1`],
  ])('is ignored for %s', (_, value) => {
    expect(load('endpoint-load-metrics', value)).toBe('malformed')
  })

  it('is ignored where it says nothing of the load', () => {
    expect(load('endpoint-load-metrics', 'TEXT named_metrics.max_token_capacity=4096')).toBe('unknown')
  })

  it('ends at the gateway, and other fields do not', () => {
    const { fields } = takeReport([
      'Endpoint-Load-Metrics',
      'TEXT cpu_utilization=0.1',
      ...OTHERS,
      'endpoint-load-metrics-bin',
      '',
    ])
    expect(fields).toEqual(OTHERS)
    expect(takeReport(OTHERS)).toEqual({ fields: OTHERS, load: undefined })
  })

  it('is asked for, whatever the caller asks for', () => {
    expect(withLoadWish([...OTHERS, 'Endpoint-Load-Metrics-Format', 'JSON'])).toEqual([
      ...OTHERS,
      'endpoint-load-metrics-format',
      'TEXT',
    ])
  })
})
