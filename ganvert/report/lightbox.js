// Enlarges the page's pictures: click or Enter opens one, the arrow keys turn to its neighbours,
// Esc, a click or the button closes it.
const box = document.getElementById("lightbox"), large = box.querySelector("img"), words = box.querySelector("p");
const pictures = [...document.querySelectorAll(".frame img, img.sheet")];
let current = 0;

function show(index) {
  current = (index + pictures.length) % pictures.length;
  large.src = pictures[current].src;
  large.alt = words.textContent = pictures[current].alt;
  if (!box.open) box.showModal();
}

pictures.forEach((picture, index) => {
  picture.addEventListener("click", () => show(index));
  picture.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" && event.key !== " ") return;
    event.preventDefault(); // the space bar would scroll
    show(index);
  });
});
box.addEventListener("click", () => box.close());
box.addEventListener("keydown", (event) => {
  const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
  if (step) show(current + step);
});
box.addEventListener("close", () => pictures[current].focus());
