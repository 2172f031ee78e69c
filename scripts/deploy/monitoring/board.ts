/** The board for Grafana, made of panels.ts. */
import { CALLS_ROWS } from './calls-rows.ts'
import { GATEWAY_ROWS } from './gateway-rows.ts'
import type { Panel, Row } from './panels.ts'
import { POOLS_ROWS } from './pools-rows.ts'

export const ROWS: readonly Row[] = [...CALLS_ROWS, ...POOLS_ROWS, ...GATEWAY_ROWS]

const COLUMNS = 24
const WIDTH = 8
const HEIGHT = 8
const STAT_HEIGHT = 4
const SOURCE = { type: 'prometheus', uid: '${datasource}' }

/** The JSON that is committed, and imported or provisioned. */
export function boardText(): string {
  return `${JSON.stringify(board(), null, 2)}\n`
}

function board(): object {
  return {
    uid: 'infergate',
    title: 'infergate',
    description: 'Inference gateway: calls, cache, backends, scaling, tenants, and the gateway itself.',
    tags: ['infergate', 'inference'],
    schemaVersion: 39,
    editable: true,
    graphTooltip: 1,
    refresh: '30s',
    time: { from: 'now-3h', to: 'now' },
    timezone: 'browser',
    templating: { list: variables() },
    panels: panels(),
  }
}

function variables(): object[] {
  const ofLabel = (name: string, query: string) => ({
    name,
    label: name,
    type: 'query',
    datasource: SOURCE,
    query: { query, refId: name },
    definition: query,
    refresh: 2,
    sort: 1,
    multi: true,
    includeAll: true,
    allValue: '.*',
    current: { text: 'All', value: '$__all' },
  })
  return [
    { name: 'datasource', label: 'Prometheus', type: 'datasource', query: 'prometheus', refresh: 1 },
    ofLabel('job', 'label_values(infergate_build_info, job)'),
    ofLabel('instance', 'label_values(infergate_build_info{job=~"$job"}, instance)'),
    ofLabel('pool', 'label_values(infergate_pool_backends{job=~"$job", instance=~"$instance"}, pool)'),
    ofLabel('route', 'label_values(infergate_route_info{job=~"$job", instance=~"$instance"}, route)'),
  ]
}

/** Rows under each other, the panels of each from left to right. */
function panels(): object[] {
  const placed: object[] = []
  let y = 0
  for (const { title, panels: members } of ROWS) {
    placed.push({
      id: placed.length + 1,
      type: 'row',
      title,
      collapsed: false,
      panels: [],
      gridPos: { x: 0, y, w: COLUMNS, h: 1 },
    })
    y++
    let x = 0
    let deepest = 0
    for (const panel of members) {
      const [w, h] = sizeOf(panel)
      if (x + w > COLUMNS) {
        y += deepest
        x = 0
        deepest = 0
      }
      placed.push({ id: placed.length + 1, ...panelOf(panel), gridPos: { x, y, w, h } })
      x += w
      deepest = Math.max(deepest, h)
    }
    y += deepest
  }
  return placed
}

function sizeOf({ width = WIDTH, kind }: Panel): [width: number, height: number] {
  return [width, kind === 'stat' && width < WIDTH ? STAT_HEIGHT : HEIGHT]
}

function panelOf({
  title,
  description,
  unit,
  kind = 'timeseries',
  isStacked = false,
  queries,
}: Panel): object {
  return {
    type: kind,
    title,
    description,
    datasource: SOURCE,
    targets: queries.map(({ expr, legend }, at) => ({
      refId: String.fromCharCode('A'.charCodeAt(0) + at),
      datasource: SOURCE,
      expr,
      legendFormat: legend === '' ? '__auto' : legend,
      ...(kind === 'table' ? { format: 'table', instant: true } : {}),
    })),
    fieldConfig: {
      defaults: {
        unit,
        min: unit === 'dateTimeFromNow' ? undefined : 0,
        custom: kind === 'timeseries' ? drawn(isStacked) : {},
      },
      overrides: [],
    },
    options:
      kind === 'timeseries'
        ? {
            legend: { displayMode: 'table', placement: 'bottom', calcs: ['lastNotNull', 'max'] },
            tooltip: { mode: 'multi', sort: 'desc' },
          }
        : kind === 'stat'
          ? { reduceOptions: { calcs: ['lastNotNull'] }, colorMode: 'value', graphMode: 'area' }
          : { showHeader: true },
  }
}

function drawn(isStacked: boolean): object {
  return {
    lineWidth: 1,
    fillOpacity: isStacked ? 30 : 5,
    showPoints: 'never',
    stacking: { mode: isStacked ? 'normal' : 'none', group: 'A' },
  }
}
