/** The families that speak of reloads: what is current, and what sessions still use of before. */
import type { Meter } from './meter.ts'

export interface GenerationSources {
  /** Those that live, the current one last. */
  readonly generations: () => readonly { readonly number: number; readonly sessions: number }[]
  readonly reloads: () => { readonly done: number; readonly refused: number }
}

export function declareGenerationFamilies(meter: Meter, sources: GenerationSources): void {
  const { generations, reloads } = sources
  const one = (value: number) => [{ labels: {}, value }]
  meter.sampled(
    'postern_generation_number',
    'gauge',
    'The configuration in use, counted from 1.',
    () => one(generations().at(-1)?.number ?? 0),
  )
  const live = 'Configurations that sessions use now, the current one among them.'
  meter.sampled('postern_generations_live', 'gauge', live, () => one(generations().length))
  meter.sampled('postern_generation_sessions', 'gauge', 'Sessions by configuration.', () =>
    generations().map(({ number, sessions }) => ({
      labels: { generation: String(number) },
      value: sessions,
    })),
  )
  meter.sampled('postern_reloads_total', 'counter', 'Reloads, by what came of them.', () => [
    { labels: { outcome: 'done' }, value: reloads().done },
    { labels: { outcome: 'refused' }, value: reloads().refused },
  ])
}
