import { expect, test } from 'bun:test'
import { createMeter } from '../../src/metrics/meter.ts'
import { declareSharedFamilies, type SharedCounts } from '../../src/metrics/shared-families.ts'

const COUNTS: SharedCounts = {
  isUp: true,
  queued: 1,
  stalenessMs: 2500,
  sent: 3,
  received: 4,
  unqueued: 5,
  refused: 6,
  refusedThere: 7,
  malformed: 8,
  lost: 9,
  readings: 10,
}

async function linesOf(shared: () => SharedCounts | null): Promise<readonly string[]> {
  const meter = createMeter()
  declareSharedFamilies(meter, { shared })
  return (await meter.registry.metrics()).split('\n')
}

test('every count of shared data is on the page', async () => {
  const lines = await linesOf(() => COUNTS)
  for (const line of [
    'postern_store_up 1',
    'postern_store_staleness_seconds 2.5',
    'postern_store_queued 1',
    'postern_store_sent_total 3',
    'postern_store_received_total 4',
    'postern_store_refused_total{cause="queue"} 5',
    'postern_store_refused_total{cause="budget"} 6',
    'postern_store_refused_total{cause="store"} 7',
    'postern_store_refused_total{cause="malformed"} 8',
    'postern_store_losses_total 9',
    'postern_store_readings_total 10',
  ]) {
    expect(lines).toContain(line)
  }
})

test('where nothing is shared there is no sample of it', async () => {
  const lines = await linesOf(() => null)
  expect(lines.filter((line) => line.startsWith('postern_store'))).toEqual([])
})
