/** The scale group of a gateway that shares nothing: it decides by its own measurements. */
import type { ScaleGroup } from './scaler.ts'

export const ALONE: ScaleGroup = { role: () => 'alone', token: 1, exchange: (_, own) => own }
