// What the keyboard does. Belongs here: the list; the keys themselves are where they act.

import { useEffect, useRef } from "preact/hooks";

const KEYS: [string, string][] = [
  ["/", "write words"], ["← → ↑ ↓", "move between answers"], ["Home, End", "first, last answer"], ["Enter", "look closer"],
  ["R", "mark right (again: withdraw)"], ["W", "mark wrong (again: withdraw)"], ["M", "more like this"], ["F", "refine now"],
  ["Esc", "close"], ["?", "this list"],
];

export function Keys({ close }: { close: () => void }) {
  const dialog = useRef<HTMLDialogElement>(null);
  useEffect(() => { dialog.current?.showModal(); }, []);
  return (
    <dialog ref={dialog} class="keys" aria-labelledby="keys-title" onClose={close}>
      <h2 id="keys-title">Keys</h2>
      <dl>{KEYS.map(([key, what]) => <><dt><kbd>{key}</kbd></dt><dd>{what}</dd></>)}</dl>
      <button onClick={() => dialog.current?.close()}>Close</button>
    </dialog>
  );
}
