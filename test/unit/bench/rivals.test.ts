import { expect, it } from 'vitest'
import {
  clientThrottle,
  envoyAdmission,
  envoyGradient,
  vegasQueue,
} from '../../../bench/sim/balance/rivals.ts'

it.each([
  [100, 136.18],
  [125, 110],
  [150, 92.46],
  [250, 57.07],
  [500, 57.07],
])('Envoy takes a limit of 100 at a sample of %i ms to %f', (sampleMs, wanted) => {
  expect(envoyGradient(100, { minRttMs: 100, sampleMs })).toBeCloseTo(wanted, 2)
})

it.each([
  [100, 0],
  [105, 3],
  [110, 5],
  [120, 9],
  [150, 17],
  [200, 25],
])('Vegas at a limit of 50 and a sample of %i ms sees a queue of %i', (sampleMs, wanted) => {
  expect(vegasQueue(50, { minRttMs: 100, sampleMs })).toBe(wanted)
})

it.each([
  [950, 1, 0],
  [900, 1, 0.0526],
  [800, 1, 0.1577],
  [500, 1, 0.4732],
  [500, 2, 0.6879],
])('Envoy with %i of 1000 calls well refuses, at aggression %i, %f', (successes, aggression, wanted) => {
  expect(envoyAdmission(1_000, successes, { threshold: 0.95, aggression })).toBeCloseTo(wanted, 4)
})

it.each([
  [500, 0],
  [400, 0.1998],
  [100, 0.7992],
])('a client with %i of 1000 calls accepted throttles %f', (accepted, wanted) => {
  expect(clientThrottle(1_000, accepted, 2)).toBeCloseTo(wanted, 4)
})
