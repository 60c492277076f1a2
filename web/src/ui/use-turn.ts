// What need not be in a component's first drawing: it comes in a task of its own, so that one long wait for the reader's
// hand becomes two short ones.
import { useEffect, useState } from 'preact/hooks';

/** False in the first drawing, true in a second one that follows when the first has been painted. */
export function useTurn(): boolean {
  const [turn, setTurn] = useState(false);
  // effects run in a task after the paint
  useEffect(() => {
    setTurn(true);
  }, []);
  return turn;
}
