#include "weights/published.h"

#include <stddef.h>
#include <string.h>

/* Hashes as the repositories' Git LFS pointers give them, OpenAI's as clip/clip.py of openai/CLIP does, the head's computed
 * from its bytes. */
static const dipp_published_file files[] = {
    {"07cb0d20626232204ca3a6ec53ff5984e7e53212a8a7b0e0ec2bac1bdaf125a1", "xswu/HPSv2: HPS_v2_compressed.pt", "HPS v2.0",
     "hps", NULL},
    {"c57a38fb4a2f7e7c15bf00da2ea377cdf165448b4dd1052a484c215a998c9837", "xswu/HPSv2: HPS_v2.1_compressed.pt",
     "HPS v2.1", "hps21", NULL},
    {"d71dc8d4912bc633c06ab8ef1ef6a81e8199d4369f14b47b29baf1d19de561f6", "THUDM/ImageReward: ImageReward.pt",
     "ImageReward 1.0", "imagereward", NULL},
    {"ef31ef6fc5ff4d9bb90dd232df4e145887ba62c5a03aa2841415f8c25f18d52e",
     "yuvalkirstain/PickScore_v1: model.safetensors", "PickScore v1", "pickscore", NULL},
    {"3f0cf1c6e533f478534404cb3ca6938103becbfe4312c6affc077c274a757972",
     "yuvalkirstain/PickScore_v1: pytorch_model.bin", "PickScore v1", "pickscore", NULL},
    {"21dd590f3ccdc646f0d53120778b296013b096a035a2718c9cb0d511bff0f1e0",
     "github.com/christophschuhmann/improved-aesthetic-predictor: sac+logos+ava1-l14-linearMSE.pth",
     "LAION's aesthetic head v2", "aesthetic", NULL},
    {"a2bf730a0c7debf160f7a6b50b3aaf3703e7e88ac73de7a314903141db026dcb",
     "openai/clip-vit-large-patch14: model.safetensors", "OpenAI's CLIP L/14", NULL, "l14"},
    {"f1a17cdbe0f36fec524f5cafb1c261ea3bbbc13e346e0f74fc9eb0460dedd0d3",
     "openai/clip-vit-large-patch14: pytorch_model.bin", "OpenAI's CLIP L/14", NULL, "l14"},
    {"b8cca3fd41ae0c99ba7e8951adf17d267cdb84cd88be6f7c2e0eca1737a03836",
     "openaipublic.azureedge.net/clip/models: ViT-L-14.pt", "OpenAI's CLIP L/14", NULL, "l14"},
    {"40d365715913c9da98579312b702a82c18be219cc2a73407c4526f58eba950af",
     "openaipublic.azureedge.net/clip/models: ViT-B-32.pt", "OpenAI's CLIP B/32", NULL, "b32"},
    {"9a78ef8e8c73fd0df621682e7a8e8eb36c6916cb3c16b291a082ecd52ab79cc4",
     "laion/CLIP-ViT-H-14-laion2B-s32B-b79K: open_clip_pytorch_model.bin", "LAION's CLIP H/14", NULL, "h14"},
    {"d6d1e3e93c27d6e430db9d20c151d1baa4dc98b503b136b7d85a63f4b02c9749",
     "laion/CLIP-ViT-H-14-laion2B-s32B-b79K: pytorch_model.bin", "LAION's CLIP H/14", NULL, "h14"},
    {"6aac683f899159946bc4ca15228bb7016f3cbb1a2c51f365cba0b23923f344da",
     "laion/CLIP-ViT-g-14-laion2B-s12B-b42K: open_clip_pytorch_model.bin", "LAION's CLIP g/14", NULL, "g14"},
};

enum { FILES = sizeof files / sizeof *files };

const dipp_published_file *dipp_published_find(const char *sha256)
{
    for (size_t i = 0; i < FILES; i++)
        if (!strcmp(files[i].sha256, sha256))
            return &files[i];
    return NULL;
}

bool dipp_published_reserves(const char *metric)
{
    for (size_t i = 0; i < FILES; i++)
        if (files[i].metric && !strcmp(files[i].metric, metric))
            return true;
    return false;
}
